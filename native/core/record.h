// The record of one group: what the supervisor knows of it.
#pragma once
#include <stdint.h>
#include <sys/types.h>

#include "fd.h"
#include "group.h"
#include "kernel.h"
#include "procfs.h"
#include "report.h"
#include "result.h"
#include "spawn.h"
#include "teardown.h"
#include "timers.h"
#include "vec.h"

namespace procgroup {

enum class ExitStatusKind : int32_t { Exact = 0, Unknown, HeldByTracer };
// Running: the leader lives. LeaderExited: it ended, the group may live. Draining: the ladder runs. Empty, Survivors:
// ends.
enum class Phase : int32_t { Running = 0, LeaderExited, Draining, Empty, Survivors };

struct GroupOptions {
  Vec<LadderStep> ladder;
  uint64_t kill_wait_ns = 0;
  uint64_t exit_grace_ns = 0;
  uint64_t timeout_ns = 0;  // 0: none
  uint64_t lease_ns = 0;    // 0: none; moved by renew()
  bool killer = false;      // a privileged killer is configured: the leader stays unreaped
};

struct Watched {  // a member that somebody waits for
  pid_t pid;
  int pidfd;  // owned; in epoll. With numeric_members a descriptor of /proc/PID
  uint64_t start_time;
  int32_t signalled;  // number of the ladder step that has reached it
  bool ended;         // out of epoll; kept for what its pidfd pins
};

struct Known {  // a member for whom no descriptor was left
  pid_t pid;
  uint64_t start_time;
  int32_t signalled;  // as in Watched
};

struct Group {
  uint32_t slot = 0;
  uint32_t generation = 0;
  uint32_t owner = 0;   // Environment; 0: nobody listens
  uint32_t ticket = 0;  // the owner's name for it
  GroupRef ref;
  GroupOptions options;
  uint64_t attached_at = 0;  // as /proc counts start times
  uint64_t killer_for = 0;   // id of the group that this killer works for
  Phase phase = Phase::Running;
  bool attached = false;  // not our child
  bool dead = false;      // freed, but not buried
  bool held = true;       // torn down when its owner ends
  bool census_due = false;
  bool list_due = false;    // members() asked
  bool list_now = false;    // and the scan that answers it has begun
  bool signal_due = false;  // the current step is still to reach members one by one
  bool final_due = false;
  bool leader_dead = false;     // a scan saw it as a zombie
  bool leader_watched = false;  // its pidfd is in epoll
  bool sweep_due = false;       // a member's pidfd became readable
  bool killer_timed_out = false;
  bool overdue = false;  // the guardian has not come to its end in time, once
  int32_t step = 0;
  uint32_t cancelled_owner = 0;  // aborted before spawn settled: told when nothing is left
  int32_t killer_signal = 0;
  WaitStatus exit;
  ExitStatusKind exit_kind = ExitStatusKind::Exact;
  Fd tty;
  pid_t tty_owner = 0;
  Ladder ladder;
  Report report;
  uint64_t teardown_start = 0;
  uint64_t killed_at = 0;  // SIGKILL reached the whole group
  uint32_t clean_scans = 0;
  uint32_t retries = 0;
  Vec<Watched> members;
  size_t watched = 0;  // of them, those in epoll
  Vec<Known> known;
  Vec<ProcStat> found;            // live members of the last census
  uint64_t zombie_hash = 0;       // of the last census: which zombies it saw
  uint64_t last_zombie_hash = 0;  // of the one before
  uint32_t found_zombies = 0;
  int32_t members_step = 0;  // the ladder step that has its record of members signalled one by one
  // Containment `tree` (remote.cc). The guardian is our child; the leader is the guardian's.
  bool tree = false;      // a guardian runs the ladder
  bool starting = false;  // the command has not been heard of yet
  bool told_gone = false;
  bool told_failed = false;
  bool begin_sent = false;
  bool kill_sent = false;
  // Orders that have not fitted into the socket yet.
  bool begin_owed = false, kill_owed = false, release_owed = false, census_owed = false;
  bool awaits_room = false;    // its socket is watched for room
  bool pid_namespace = false;  // containment `namespace`
  bool user_namespace = false;
  uint32_t census_out = 0;  // orders that have not been answered
  pid_t inner_leader = 0;   // the leader's number inside
  Vec<char> leaf;           // containment `cgroup`: its directory, with the NUL
  uint32_t limits_hit = 0;  // LimitHit, at the leader's end
  bool lost = false;        // the guardian died: members are who carries `mark`
  char mark[40] = {};       // NAME=value in the environment of every member
  pid_t guardian = 0;
  Fd guardian_pidfd;
  Fd socket;
  uint64_t grace_cap = 0;
  Error failure;
  char failure_syscall[24] = {};
  Vec<pid_t> refused;
  Timer timeout_timer, ladder_timer, retry_timer, tracer_timer, lease_timer;

  uint64_t id() const { return uint64_t{generation} << 24 | slot; }
};

}  // namespace procgroup
