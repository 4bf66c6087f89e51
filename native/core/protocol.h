// What the supervisor's engine and a guardian say to each other, over a SOCK_SEQPACKET pair: one message a packet, one
// fixed size a direction. Both sides refuse a packet of another size, magic or build.
#pragma once
#include <stdint.h>

#include "plan.h"
#include "procfs.h"
#include "result.h"
#include "supervisor.h"

namespace procgroup {

#ifndef PROCGROUP_BUILD
#error "PROCGROUP_BUILD is not defined: see scripts/protocol-build.mjs"
#endif
constexpr uint32_t kMagic = 0x70674701;
constexpr uint32_t kBuild = PROCGROUP_BUILD;  // a hash of this file and of what it includes

constexpr int kMaxSteps = 16;
constexpr int kMaxRlimits = 16;
constexpr int kMaxGroups = 64;
constexpr size_t kMaxWords = 16 * 1024;

// Whose hands the tree is in, besides the guardian's.
enum class Containment : int32_t { Tree = 0, Cgroup, Namespace };

// Supervisor to guardian.
enum class Order : uint32_t { Config = 1, Begin, Signal, Census, Release, Foreground, Pause };
// Guardian to supervisor.
enum class News : uint32_t {
  Started = 1,
  Failed,
  Exited,
  Stopped,
  Draining,
  Step,
  Survivor,
  Member,
  MembersEnd,
  Refused,
  Gone,
  Usage,
  Paused
};

struct Config {
  int32_t isolation;
  int32_t inherit_pgid;  // `inherit`: the group that the leader joins
  int32_t foreground;
  int32_t close_strays;
  int32_t parent_death_signal;  // what the command gets when the guardian dies; 0: nothing
  int32_t stdio_count;          // the command's descriptors are 0 .. stdio_count - 1
  int32_t umask, nice, oom_score_adj;
  int32_t uid, gid;     // -1: leave
  int32_t group_count;  // -1: leave
  int32_t step_count;
  int32_t rlimit_count;
  int32_t killer;       // 1: pids that answer EPERM are told, with Refused
  int32_t containment;  // Containment; not Tree: its words follow, see WordsHeader
  uint64_t kill_wait_ns;
  uint64_t timeout_ns;  // 0: none
  uint32_t groups[kMaxGroups];
  LadderStep steps[kMaxSteps];
  RlimitSet rlimits[kMaxRlimits];
};

struct OrderMessage {
  uint32_t magic;
  uint32_t build;
  Order type;
  int32_t signal;
  int32_t cause;
  int32_t kill;           // Begin; Pause: 0 is to resume
  uint64_t grace_cap_ns;  // Begin: no grace ends later than this from now on; 0: none
  Config config;          // Config only
};

// The packet behind Config for a containment of the kernel's: this, then words, each with its NUL.
struct WordsHeader {
  uint32_t magic;
  uint32_t build;
  int32_t directory;  // the descriptor that came along
};

struct NewsMessage {
  uint32_t magic;
  uint32_t build;
  News type;
  int32_t pid, pgid, sid;  // Started, with the leader's pidfd as SCM_RIGHTS where there is one
  // Failed; Paused has `err`
  int32_t err, stage, index, term_signal;
  char syscall[24];
  // Exited, Stopped (signal 0: continued); Paused: `code` 1 or 0
  int32_t code, signal, core_dumped, exit_kind;
  Usage usage;
  // Draining, Gone; Exited has in `notes` which limits were hit
  int32_t cause, empty, evidence;
  uint32_t notes;
  uint64_t duration_ns;
  StepRecord step;
  union {
    SurvivorRecord survivor;         // Survivor; Member uses its `stat`
    int64_t numbers[kUsageNumbers];  // Usage
  };
};
static_assert(__is_trivially_copyable(OrderMessage) && __is_trivially_copyable(NewsMessage), "sent as bytes");

inline bool valid(const OrderMessage& m, long size) {
  if (size != static_cast<long>(sizeof m) || m.magic != kMagic || m.build != kBuild) return false;
  if (m.type < Order::Config || m.type > Order::Pause) return false;
  if (m.signal < 0 || m.signal > 64) return false;
  const Config& c = m.config;
  return m.type != Order::Config ||
         (c.isolation >= 0 && c.isolation <= 2 && c.stdio_count >= 0 && c.stdio_count <= kMaxFds && c.step_count >= 0 &&
          c.step_count <= kMaxSteps && c.rlimit_count >= 0 && c.rlimit_count <= kMaxRlimits && c.group_count >= -1 &&
          c.group_count <= kMaxGroups && c.containment >= 0 && c.containment <= 2);
}

inline bool valid(const NewsMessage& m, long size) {
  return size == static_cast<long>(sizeof m) && m.magic == kMagic && m.build == kBuild && m.type >= News::Started &&
         m.type <= News::Paused;
}

}  // namespace procgroup
