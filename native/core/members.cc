// Members one by one: who is known, who is waited for, and signalling those that no group signal may reach.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "supervisor.h"

namespace procgroup {
namespace {

// Not from the spare descriptor of /proc, which would be gone for as long as this one is kept. 0 or a negative errno.
int open_process(const ProcFs& proc, pid_t pid) {
  char path[16];
  snprintf(path, sizeof path, "%d", pid);
  int fd = openat(proc.directory(), path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  return fd >= 0 ? fd : -errno;
}

// By its descriptor; by number where the table has no room for that.
bool look_at(const Watched& member, ProcFs& proc, ProcStat* stat) {
  return proc.stat_of(member.pidfd, stat) || (proc.stat(member.pid, stat) && stat->start_time == member.start_time);
}

// A number does not come round within a tick: with the same start time it is the same process, a zombie maybe.
bool is_there(const Known& member, ProcFs& proc, ProcStat* stat) {
  return proc.stat(member.pid, stat) && stat->start_time == member.start_time;
}

Known* find_known(Group& group, const ProcStat& member) {
  for (Known& known : group.known) {
    if (known.pid == member.pid && known.start_time == member.start_time) return &known;
  }
  return nullptr;
}

}  // namespace

// Pin::Members: nothing of ours holds the number itself. It still means our group while one process that was known as a
// member is unreaped and in it: what else is in the group at that moment is a member too. With the last of them reaped
// the number may be anybody's, and nobody is signalled by it any more. unsure_: nobody of them was found, but some
// could not be looked at (a full descriptor table, hidepid=1); unsure_failure_: as ProcFs::failure(), of any of them.
bool Supervisor::still_ours(const Group& group, ProcFs& proc) {
  unsure_ = false;
  unsure_failure_ = -ESRCH;
  if (group.ref.pin != Pin::Members || group.lost) return true;
  ProcStat stat;
  auto missed = [&] {
    unsure_ |= !proc.absent();
    if (unsure_failure_ == -ESRCH) unsure_failure_ = proc.failure();
    return false;
  };
  auto in_group = [&](pid_t pid, int pidfd) {
    // In this order: a zombie answers signal 0, a reaped process does not.
    if (!proc.stat(pid, &stat)) return missed();
    return stat.pgid == group.ref.pgid && sys_pidfd_send_signal(pidfd, 0, 0) != -ESRCH;
  };
  if (group.ref.pidfd.valid() && in_group(group.ref.leader, group.ref.pidfd.get())) return true;
  for (const Watched& member : group.members) {
    if (!numeric(group) && in_group(member.pid, member.pidfd)) return true;
    if (!numeric(group)) continue;
    if (!look_at(member, proc, &stat))
      missed();
    else if (stat.pgid == group.ref.pgid)
      return true;
  }
  for (const Known& member : group.known) {
    if (!is_there(member, proc, &stat))
      missed();
    else if (stat.pgid == group.ref.pgid)
      return true;
  }
  return false;
}

// Where no leader of ours pins the number: whoever is in the group now, zombies too, is a known member from here on.
// 0, or the errno of a full descriptor table, which had no room for some of them.
int Supervisor::adopt_members(Group& group) {
  group.ref.pin = Pin::Members;
  group.ref.numeric_members = !(features_ & kFeaturePidfd);
  int full = 0;
  caller_proc_.scan([&](const ProcStat& process) {
    if (process.pgid != group.ref.pgid || watch(group, process, caller_proc_) != nullptr) return;
    if (!table_full(watch_error_)) return;
    full = -watch_error_;
    group.known.push({process.pid, process.start_time, 0});
  });
  return full;
}

// No known member is left in the group. A leader that is younger than our record shows that the number was given away;
// of a group that we started, whose leader has been reaped, any leader does.
void Supervisor::number_lost(Group& group) {
  ProcStat leader;
  bool leads = caller_proc_.stat(group.ref.pgid, &leader) && leader.pgid == group.ref.pgid;
  bool recycled = leads && (!group.attached || leader.start_time > group.attached_at);
  bool empty = recycled || (probe_group(group.ref) == -ESRCH && session_number(group) != NumberState::Taken);
  if (!empty) group.report.notes |= caller_proc_.blind() ? kNotePinLost | kNoteProcUnreadable : kNotePinLost;
  finish(group, empty, empty ? Evidence::Census : Evidence::Unverified);
}

// Null, with a negative errno in watch_error_: -ESRCH where it is not that process any more, or no member.
Watched* Supervisor::watch(Group& group, const ProcStat& member, ProcFs& proc) {
  for (Watched& known : group.members) {
    if (known.pid == member.pid && known.start_time == member.start_time) return &known;
  }
  if (!(features_ & kFeaturePidfd)) {
    bool apart = group.ref.pin == Pin::Members || group.ref.session;
    int process = apart ? move_high(open_process(proc, member.pid), high_fd_) : -ESRCH;
    watch_error_ = process;
    if (process < 0) return nullptr;
    group.members.push({member.pid, process, member.start_time, 0, true});
    return &group.members.back();
  }
  int fd = watch_error_ = sys_pidfd_open(member.pid);
  if (fd < 0) return nullptr;
  fd = move_high(fd, high_fd_);
  // The number may have been given to another since the scan; from here on the pidfd says who is meant.
  ProcStat again;
  bool same = proc.stat(member.pid, &again) && again.start_time == member.start_time && belongs(group, again, proc);
  watch_error_ = same ? reaper_->add(fd, {kMember, group.slot, group.generation}) : proc.failure();
  if (watch_error_ < 0) {
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

void Supervisor::take_spare() {
  if (!spare_.valid()) spare_.reset(move_high(open("/dev/null", O_RDONLY | O_CLOEXEC), high_fd_));
}

// One signal to one member that a scan has seen, pinned for as long as that takes; where the descriptor table is full,
// in the place of the spare descriptor. 0 or a negative errno: -ESRCH also where it is no member any more, -EMFILE also
// where no descriptor was left to look at that.
int Supervisor::signal_once(Group& group, const ProcStat& member, ProcFs& proc, int sig, bool then_continue) {
  bool by_number = numeric(group);
  int fd = by_number ? -1 : sys_pidfd_open(member.pid);
  if (table_full(fd) && spare_.valid()) {
    spare_.reset();
    fd = sys_pidfd_open(member.pid);
  }
  Fd pidfd(fd);
  int r = by_number || pidfd.valid() ? 0 : fd;
  ProcStat again;
  if (r == 0) {
    bool same = proc.stat(member.pid, &again) && again.start_time == member.start_time && belongs(group, again, proc);
    if (!same)
      r = proc.failure();
    else if (!still_ours(group, proc))
      r = unsure_failure_;
  }
  if (r == 0) r = signal_process(pidfd.get(), member.pid, sig);
  if (r == 0 && then_continue) signal_process(pidfd.get(), member.pid, SIGCONT);
  pidfd.reset();
  take_spare();
  return r;
}

// The current step to a member for whom no descriptor is left to keep.
int Supervisor::signal_known(Group& group, const ProcStat& member) {
  Known* known = find_known(group, member);
  if (known == nullptr) {
    if (!still_ours(group, proc_)) return unsure_failure_;
    group.known.push({member.pid, member.start_time, 0});
    known = &group.known.back();
  }
  if (known->signalled == group.step) return -ESRCH;
  int sig = group.ladder.signal();
  int r = signal_once(group, member, proc_, sig, sig != SIGKILL);
  if (r == 0 && numeric(group)) group.report.notes |= kNoteNumericPids;
  if (!table_full(r)) known->signalled = group.step;
  return r;
}

// The current step, to every member that the group signal does not reach. True: somebody new was signalled, look again.
bool Supervisor::signal_members(Group& group) {
  int sig = group.ladder.signal();
  bool any = false;
  ProcStat stat;
  for (size_t i = group.known.size(); i-- > 0;) {
    if (!is_there(group.known[i], proc_, &stat) && proc_.absent()) group.known.remove_swap(i);
  }
  int err = 0;
  for (const ProcStat& member : group.found) {
    if (group.ref.pin != Pin::Members && member.pgid == group.ref.pgid) continue;
    if (group.ref.pin != Pin::Members && member.pid == group.ref.leader) continue;
    int r = -ESRCH;
    Watched* watched = watch(group, member, proc_);
    if (watched != nullptr) {
      Known* known = group.known.empty() ? nullptr : find_known(group, member);
      if (watched->signalled == group.step || (known != nullptr && known->signalled == group.step)) continue;
      // It was known before, or it is in the group while one that was known still is.
      if (watched->signalled == 0 && !still_ours(group, proc_)) break;
      watched->signalled = group.step;
      int pidfd = watched->pidfd;
      if (numeric(group)) {
        ProcStat again;
        if (!look_at(*watched, proc_, &again)) continue;
        group.report.notes |= kNoteNumericPids;
        pidfd = -1;
      }
      r = signal_process(pidfd, member.pid, sig);
      if (r == 0 && sig != SIGKILL) signal_process(pidfd, member.pid, SIGCONT);
    } else if (watch_error_ != -ESRCH) {
      r = signal_known(group, member);
    }
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
