// Members one by one: who is known, who is waited for, and signalling those that no group signal may reach.
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "supervisor.h"

namespace procgroup {

// Pin::Members: nothing of ours holds the number itself. It still means our group while one process that was known as a
// member is unreaped and in it: what else is in the group at that moment is a member too. With the last of them reaped
// the number may be anybody's, and nobody is signalled by it any more.
bool Supervisor::still_ours(const Group& group, ProcFs& proc) {
  if (group.ref.pin != Pin::Members || group.lost) return true;
  ProcStat stat;
  auto in_group = [&](pid_t pid, int pidfd) {
    // In this order: a zombie answers signal 0, a reaped process does not.
    return proc.stat(pid, &stat) && stat.pgid == group.ref.pgid && sys_pidfd_send_signal(pidfd, 0, 0) != -ESRCH;
  };
  if (group.ref.pidfd.valid() && in_group(group.ref.leader, group.ref.pidfd.get())) return true;
  for (const Watched& member : group.members) {
    if (!numeric(group) && in_group(member.pid, member.pidfd)) return true;
    if (numeric(group) && proc.stat_of(member.pidfd, &stat) && stat.pgid == group.ref.pgid) return true;
  }
  return false;
}

// Where no leader of ours pins the number: whoever is in the group now, zombies too, is a known member from here on.
void Supervisor::adopt_members(Group& group) {
  group.ref.pin = Pin::Members;
  group.ref.numeric_members = !(features_ & kFeaturePidfd);
  caller_proc_.scan([&](const ProcStat& process) {
    if (process.pgid == group.ref.pgid) watch(group, process, caller_proc_);
  });
}

// The last known member has been reaped. A leader that is younger than our record shows that the number was given away.
void Supervisor::number_lost(Group& group) {
  ProcStat leader;
  bool recycled = caller_proc_.stat(group.ref.pgid, &leader) && leader.pgid == group.ref.pgid;
  bool empty = recycled || probe_group(group.ref) == -ESRCH;
  if (!empty) group.report.notes |= kNotePinLost;
  finish(group, empty, empty ? Evidence::Census : Evidence::Unverified);
}

Watched* Supervisor::watch(Group& group, const ProcStat& member, ProcFs& proc) {
  for (Watched& known : group.members) {
    if (known.pid == member.pid && known.start_time == member.start_time) return &known;
  }
  if (!(features_ & kFeaturePidfd)) {
    bool apart = group.ref.pin == Pin::Members || group.ref.session;
    int process = apart ? move_high(proc.open_process(member.pid), high_fd_) : -1;
    if (process < 0) return nullptr;
    group.members.push({member.pid, process, member.start_time, 0, true});
    return &group.members.back();
  }
  int fd = sys_pidfd_open(member.pid);
  if (fd < 0) return nullptr;
  fd = move_high(fd, high_fd_);
  // The number may have been given to another since the scan; from here on the pidfd says who is meant.
  ProcStat again;
  bool same = proc.stat(member.pid, &again) && again.start_time == member.start_time && belongs(group, again, proc);
  if (!same || reaper_->add(fd, {kMember, group.slot, group.generation}) < 0) {
    close(fd);
    return nullptr;
  }
  group.members.push({member.pid, fd, member.start_time, 0, false});
  group.watched++;
  return &group.members.back();
}

void Supervisor::unwatch(Group& group, size_t i) {
  Watched& member = group.members[i];
  if (!member.ended) {
    reaper_->remove(member.pidfd);
    group.watched--;
  }
  if (member.pidfd >= 0) close(member.pidfd);
  group.members.remove_swap(i);
}

// By setsid or setpgid a process leaves the group and lives on, and no event tells. It must not hold the group's
// emptiness. Where members pin the number they stay known: the census says who is still in the group.
void Supervisor::drop_leavers(Group& group) {
  if (group.ref.pin == Pin::Members) return;
  for (size_t i = group.members.size(); i-- > 0;) {
    pid_t pid = group.members[i].pid;
    // Its pidfd was not readable just now. Who has ended since, or whose number is a stranger's already, may go as
    // well.
    if (group.members[i].ended || getpgid(pid) == group.ref.pgid) continue;
    if (group.ref.session && getsid(pid) == group.ref.sid) continue;
    unwatch(group, i);
  }
}

void Supervisor::sweep_members(Group& group) {
  group.sweep_due = false;
  Vec<struct pollfd> polled;
  for (const Watched& member : group.members) polled.push({member.ended ? -1 : member.pidfd, POLLIN, 0});
  if (poll(polled.data(), polled.size(), 0) > 0) {
    for (size_t i = polled.size(); i-- > 0;) {
      if (polled[i].revents == 0) continue;
      if (group.ref.pin != Pin::Members) {
        unwatch(group, i);
        continue;
      }
      // Its pidfd stays: unreaped it still holds the number of the group.
      reaper_->remove(group.members[i].pidfd);
      group.members[i].ended = true;
      group.watched--;
    }
  }
  drop_leavers(group);
  settle(group);
}

// The current step, to every member that the group signal does not reach. True: somebody new was signalled, look again.
bool Supervisor::signal_members(Group& group) {
  int sig = group.ladder.signal();
  bool any = false;
  int err = 0;
  for (const ProcStat& member : group.found) {
    if (group.ref.pin != Pin::Members && member.pgid == group.ref.pgid) continue;
    if (group.ref.pin != Pin::Members && member.pid == group.ref.leader) continue;
    int pidfd = -1;
    Watched* watched = nullptr;
    watched = watch(group, member, proc_);
    if (watched == nullptr || watched->signalled == group.step) continue;
    // It was known before, or it is in the group while one that was known still is.
    if (watched->signalled == 0 && !still_ours(group, proc_)) break;
    watched->signalled = group.step;
    pidfd = watched->pidfd;
    if (numeric(group)) {
      ProcStat again;
      if (!proc_.stat_of(watched->pidfd, &again)) continue;
      group.report.notes |= kNoteNumericPids;
      pidfd = -1;
    }
    int r = signal_process(pidfd, member.pid, sig);
    if (r == 0 && sig != SIGKILL) signal_process(pidfd, member.pid, SIGCONT);
    if (r == 0)
      any = true;
    else if (r != -ESRCH)
      err = -r;
  }
  if ((any || err != 0) && group.members_step != group.step) {
    group.members_step = group.step;
    group.report.steps.push({sig, Target::Members, any ? 0 : err, now_ns() - group.teardown_start});
  }
  return any;
}

// killpg succeeds when one member was signalled: who answered EPERM is found here.
void Supervisor::run_killer(Group& group) {
  Vec<pid_t> refused;
  for (const ProcStat& member : group.found) {
    Fd pidfd(features_ & kFeaturePidfd ? sys_pidfd_open(member.pid) : -1);
    if (signal_process(pidfd.get(), member.pid, 0) == -EPERM) refused.push(member.pid);
  }
  if (refused.empty()) return;
  call_killer(group, group.ladder.signal(), refused);
}

}  // namespace procgroup
