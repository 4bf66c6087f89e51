#include "group.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "kernel.h"

namespace procgroup {

Refusal guard_pgid(int64_t pgid) {
  if (pgid < 0) return Refusal::NotPositive;
  if (pgid == 0) return Refusal::Zero;
  if (pgid == 1) return Refusal::Init;
  if (pgid == getpgrp()) return Refusal::OwnGroup;
  return Refusal::None;
}

int killpg_guarded(pid_t pgid, int sig) {
  if (guard_pgid(pgid) != Refusal::None) return -EINVAL;
  return ::kill(-pgid, sig) == 0 ? 0 : -errno;
}

int signal_process(int pidfd, pid_t pid, int sig) {
  if (pidfd >= 0) return sys_pidfd_send_signal(pidfd, sig, 0);
  if (pid <= 1) return -EINVAL;
  return ::kill(pid, sig) == 0 ? 0 : -errno;
}

int kill_namespace(int sig) {
  if (getpid() != 1) return -EINVAL;
  return ::kill(-1, sig) == 0 ? 0 : -errno;
}

int signal_leader(const GroupRef& group, int sig) {
  if (group.pidfd.valid()) return sys_pidfd_send_signal(group.pidfd.get(), sig, 0);
  if (group.leader_reaped) return -ESRCH;
  return signal_process(-1, group.leader, sig);
}

int probe_group(const GroupRef& group) {
  switch (group.pin) {
    case Pin::PidfdGroup:
      return sys_pidfd_send_signal(group.pidfd.get(), 0, kPidfdSignalProcessGroup);
    case Pin::Zombie:
    case Pin::Members:
      return group.pgid > 0 ? killpg_guarded(group.pgid, 0) : -ESRCH;
    case Pin::Leader:
      break;
  }
  return group.leader_exited ? -ESRCH : 0;
}

SignalResult signal_group(const GroupRef& group, int sig) {
  SignalResult result;
  int r = -ESRCH;
  if (group.pin == Pin::PidfdGroup) {
    r = sys_pidfd_send_signal(group.pidfd.get(), sig, kPidfdSignalProcessGroup);
  } else if (group.pin == Pin::Zombie && !group.leader_reaped) {
    r = killpg_guarded(group.pgid, sig);
  }
  if (r == 0) {
    result.target = Target::Group;
    // A leader that moved to another group of its session still counts, and killpg did not see it.
    if (!group.leader_exited && getpgid(group.leader) != group.pgid) signal_leader(group, sig);
    return result;
  }
  int leader = group.leader_exited ? -ESRCH : signal_leader(group, sig);
  if (leader == 0) {
    result.target = Target::Leader;
    return result;
  }
  if (r == -ESRCH && leader == -ESRCH) return result;
  result.target = r == -ESRCH ? Target::Leader : Target::Group;
  result.err = r == -ESRCH ? -leader : -r;
  return result;
}

}  // namespace procgroup
