// Where the plan of a spawn lies.
#pragma once
#include <sys/mman.h>

#include "plan.h"
#include "spawn.h"

namespace procgroup {

// A child with memory of its own can tell its verdict only through a page that it shares with us.
struct PlanMemory {
  ChildPlan own = {};
  ChildPlan* plan = &own;

  explicit PlanMemory(const SpawnRequest& request) {
    if (request.uid == -1 && request.gid == -1 && request.group_count == -1) return;
    void* page = mmap(nullptr, sizeof own, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    plan = page == MAP_FAILED ? nullptr : static_cast<ChildPlan*>(page);
  }
  PlanMemory(const PlanMemory&) = delete;
  PlanMemory& operator=(const PlanMemory&) = delete;
  ~PlanMemory() {
    if (plan != nullptr && plan != &own) munmap(plan, sizeof own);
  }
};

}  // namespace procgroup
