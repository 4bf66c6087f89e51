// What the engine tells an Environment. An event is a row of numbers; what does not fit is its payload, fetched by row.
#pragma once
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/procfs.h"
#include "core/result.h"
#include "core/supervisor.h"

namespace procgroup {

// The order is part of the protocol with lib/native.ts.
enum class EventType : int32_t {
  Spawned = 0,
  Failed,
  Exit,
  Draining,
  Gone,
  Members,
  StopState,
  PidfdReady,
  Holders,
  Paused
};

struct Payload {
  char syscall[24] = {};  // a copy: a guardian's failure has it in the group's record, which is gone by then
  std::vector<int> fds;   // our ends of pipes: closed with the payload unless somebody takes them
  std::string leaf;       // of a containment `cgroup`
  std::vector<int64_t> usage;

  std::vector<StepRecord> steps;
  std::vector<SurvivorRecord> survivors;
  std::vector<ProcStat> members;
  std::vector<Holder> holders;

  ~Payload() {
    for (int fd : fds) {
      if (fd >= 0) close(fd);
    }
  }
};

struct Event {
  static constexpr int kColumns = 16;
  double row[kColumns] = {};
  std::unique_ptr<Payload> payload;
  bool signalled = false;  // an exit that was counted on the Environment's eventfd
};

}  // namespace procgroup
