// What a teardown has to tell.
#pragma once
#include <stdint.h>

#include "group.h"
#include "procfs.h"
#include "vec.h"

namespace procgroup {

enum class Cause : int32_t { None = 0, Stop, Abort, Timeout, Dispose, Exit, Lease, Guardian };
enum class Evidence : int32_t { Esrch = 0, Census, Leader, Unverified, Echild, Populated, Namespace };

enum Note : uint32_t {
  kNoteLeaderAlone = 1 << 0,
  kNoteNumericPids = 1 << 1,
  kNotePinLost = 1 << 2,
  kNoteKillerFailed = 1 << 3,
  kNoteKillerTimeout = 1 << 4,
  kNoteProcUnreadable = 1 << 5,
  kNoteGuardianLost = 1 << 6,
  kNoteProtocol = 1 << 7,
  kNoteCgroupLeft = 1 << 8,
};

struct StepRecord {
  int32_t signal;
  Target target;
  int32_t err;     // errno; for Target::Killer its exit code, or minus the signal that ended it
  uint64_t at_ns;  // from the start of the teardown
};

struct SurvivorRecord {
  ProcStat stat;
  char wchan[48];
  int32_t err;  // errno of signal 0
  int32_t held_by_tracer;
};

// What a cgroup has counted, -1 where it does not say.
enum UsageNumber : int32_t {
  kMemory,  // bytes
  kMemoryPeak,
  kPids,
  kPidsPeak,
  kCpuUser,  // microseconds
  kCpuSystem,
  kIoRead,  // bytes
  kIoWrite,
  kOomKills,
  kPidsRefused,
  kUsageNumbers
};
// Limits that a member has run into.
enum LimitHit : uint32_t { kHitMemory = 1 << 0, kHitPids = 1 << 1 };

struct Report {
  bool empty = false;
  Cause cause = Cause::None;
  Evidence evidence = Evidence::Esrch;
  uint32_t notes = 0;
  uint64_t duration_ns = 0;
  Vec<StepRecord> steps;
  Vec<SurvivorRecord> survivors;
  Vec<int64_t> usage;  // by UsageNumber; empty without a cgroup
};

}  // namespace procgroup
