// One process group and what may be signalled in it. group.cc holds the only calls of killpg and kill.
#pragma once
#include <stdint.h>
#include <sys/types.h>

#include "fd.h"
#include "plan.h"

namespace procgroup {

// How the number of the group is kept from meaning somebody else.
enum class Pin : int32_t {
  PidfdGroup,  // signals go through the leader's pidfd with PIDFD_SIGNAL_PROCESS_GROUP (Linux 6.9)
  Zombie,      // the leader is kept an unreaped zombie, so its number stays taken
  Members,     // neither: every member is signalled through a pidfd of its own
  Leader,      // the leader is the only member
};

struct GroupRef {
  pid_t leader = 0;
  pid_t pgid = 0;  // as realised, read by the child after setpgid or setsid
  pid_t sid = 0;
  Pin pin = Pin::Leader;
  bool session = false;  // members are all that have our sid
  bool leader_exited = false;
  bool leader_reaped = false;
  bool numeric_members = false;  // no pidfd at all: members are signalled by number, after a look at their start time
  Fd pidfd;                      // the leader's, or not valid
};

enum class Refusal : int32_t { None = 0, NotPositive, Zero, Init, OwnGroup };

// The guard of every numeric group signal, by the placement that is, not the one that was intended.
Refusal guard_pgid(int64_t pgid);

enum class Target : int32_t { Gone = 0, Group = 1, Leader = 2, Members = 3, Killer = 4 };

struct SignalResult {
  Target target = Target::Gone;
  int err = 0;  // positive errno, where even the fallback was refused
};

// killpg(2) behind the guard. 0 or a negative errno (-EINVAL for a refusal).
int killpg_guarded(pid_t pgid, int sig);

// Sends `sig` to the group by its pin; where that answers ESRCH or EPERM, to the leader alone. Not for Pin::Members.
SignalResult signal_group(const GroupRef& group, int sig);

// The leader alone, through its pidfd, or by number while it is unreaped. 0 or a negative errno.
int signal_leader(const GroupRef& group, int sig);

// Signal 0 to the group: -ESRCH proves it empty; any other answer proves nothing. pidfd_send_signal(2), kill(2).
int probe_group(const GroupRef& group);

// As init of a PID namespace: everybody in it but ourselves. 0 or a negative errno. kill(2), pid -1.
int kill_namespace(int sig);

// One process that is not our child. `pidfd` where valid, else by number: the caller has checked its start time.
int signal_process(int pidfd, pid_t pid, int sig);

}  // namespace procgroup
