// The half between clone and exec. See child.cc for what is forbidden there.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "plan.h"

namespace procgroup {

// ABI of clone3(2).
struct CloneArgs {
  uint64_t flags;
  uint64_t pidfd;
  uint64_t child_tid;
  uint64_t parent_tid;
  uint64_t exit_signal;
  uint64_t stack;
  uint64_t stack_size;
  uint64_t tls;
  uint64_t set_tid;
  uint64_t set_tid_size;
  uint64_t cgroup;
};
constexpr size_t kCloneArgsFirst = 64;              // bytes, since Linux 5.3
constexpr uint64_t kCloneIntoCgroup = 0x200000000;  // CLONE_INTO_CGROUP, 88 bytes, since Linux 5.7

struct ChildStack {
  void* base;
  size_t size;
};

// Both start run_child(plan) on `stack` and return the pid, or a negative errno. Every signal must be blocked.
long clone_child(uint64_t flags, const ChildStack& stack, ChildPlan* plan);
long clone3_child(uint64_t flags, const ChildStack& stack, ChildPlan* plan);

}  // namespace procgroup
