// The proof that a group is empty. Only these are proofs: ESRCH from signal 0 to the group, the leader's own end under
// containment `leader`, and a census begun after SIGKILL reached the whole group. A scan of /proc alone is none: a
// chain that forks and exits can stay invisible to it.
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "supervisor.h"

namespace procgroup {
namespace {

constexpr size_t kWatchLimit = 64;           // members waited for at a time, where the group is signalled as one
constexpr uint64_t kFirstRetry = 5'000'000;  // 5 ms, doubled up to 1 s
constexpr uint64_t kDying = 2'000'000;       // 2 ms
constexpr uint32_t kLostScans = 3;           // before a tree without its guardian is called empty
constexpr uint32_t kCleanScans = 5;          // before a group of nothing but zombies is called empty without a SIGKILL

}  // namespace

bool Supervisor::belongs(const Group& group, const ProcStat& process, ProcFs& proc) {
  if (group.lost) {  // a zombie has no environment: those of the leader's group are known by its number
    bool dead_in_group = !process.alive() && group.ref.pgid > 0 && process.pgid == group.ref.pgid;
    return dead_in_group || proc.has_environment(process.pid, group.mark);
  }
  if (process.pid == group.ref.leader && !group.ref.leader_exited) return true;
  if (group.ref.pin == Pin::Leader) return false;
  return process.pgid == group.ref.pgid || (group.ref.session && process.sid == group.ref.sid);
}

// Pin::Members: nothing of ours holds the number itself. It still means our group while one process that was known as a
// member is unreaped and in it: what else is in the group at that moment is a member too. With the last of them reaped the
// number may be anybody's, and nobody is signalled by it any more.
bool Supervisor::still_ours(const Group& group, ProcFs& proc) {
  if (group.ref.pin != Pin::Members || group.lost) return true;
  auto in_group = [&](pid_t pid, int pidfd, uint64_t start_time) {
    ProcStat stat;
    if (!proc.stat(pid, &stat) || stat.pgid != group.ref.pgid) return false;
    if (start_time != 0 && stat.start_time != start_time) return false;
    return pidfd < 0 || sys_pidfd_send_signal(pidfd, 0, 0) != -ESRCH;  // a zombie answers, a reaped one does not
  };
  if (group.ref.pidfd.valid() && in_group(group.ref.leader, group.ref.pidfd.get(), 0)) return true;
  for (const Watched& member : group.members) {
    if (in_group(member.pid, member.pidfd, member.start_time)) return true;
  }
  return false;
}

// Called whenever the group may have become empty. Does nothing while somebody known to live is being waited for.
void Supervisor::settle(Group& group) {
  if (group.phase == Phase::Empty || group.phase == Phase::Survivors) return;
  if (!group.ref.leader_exited || (group.watched > 0 && group.ref.pin != Pin::Members)) return;
  if (group.ref.pin == Pin::Leader) return finish(group, true, Evidence::Leader);
  bool pinned_by_zombie = !group.ref.leader_reaped;
  bool answers = pinned_by_zombie || probe_group(group.ref) != -ESRCH;
  if (!answers && !group.ref.session && !group.lost) return finish(group, true, Evidence::Esrch);
  if (answers && !pinned_by_zombie && group.killed_at != 0 && now_ns() - group.killed_at < kDying) {
    // SIGKILL has just reached them all: a scan would take the processor from those who are dying.
    timers_.arm(&group.retry_timer, now_ns() + kDying / 2);
    return;
  }
  request_census(group);
}

void Supervisor::request_census(Group& group) {
  group.census_due = true;
  census_due_ = true;
}

void Supervisor::retry_later(Group& group) {
  uint32_t doublings = group.retries < 8 ? group.retries : 8;
  group.retries++;
  uint64_t pause = kFirstRetry << doublings;
  timers_.arm(&group.retry_timer, now_ns() + (pause < 1'000'000'000 ? pause : 1'000'000'000));
}

// One pass over /proc serves every group that waits for one.
void Supervisor::on_batch_end() {
  if (sweep_due_) {
    sweep_due_ = false;
    for (size_t i = 0; i < slots_.size(); i++) {
      if (slots_[i] != nullptr && slots_[i]->sweep_due) sweep_members(*slots_[i]);
    }
  }
  if (!census_due_) return;
  census_due_ = false;
  Vec<Group*> due;
  for (Group* group : slots_) {
    if (group == nullptr || !group->census_due) continue;
    group->census_due = false;
    group->found.clear();
    group->found_zombies = 0;
    due.push(group);
  }
  uint64_t started = now_ns();
  // Groups are freed by this thread only, and what belongs() reads changes on this thread only.
  listener_->unlock();
  bool complete = proc_.scan([&](const ProcStat& process) {
    for (Group* group : due) {
      if (!belongs(*group, process, proc_)) continue;
      if (process.alive())
        group->found.push(process);
      else
        group->found_zombies++;
    }
  });
  listener_->lock();
  for (Group* group : due) after_census(*group, started, complete);
}

void Supervisor::after_census(Group& group, uint64_t started, bool complete) {
  if (group.list_due) {
    group.list_due = false;
    listener_->on_members(group);
  }
  if (group.phase == Phase::Empty || group.phase == Phase::Survivors) return;
  if (!complete) group.report.notes |= kNoteProcUnreadable;
  if (!still_ours(group, proc_)) return number_lost(group);
  if (group.final_due) return name_survivors(group, complete);
  bool look_again = false;
  if (group.signal_due) {
    group.signal_due = false;
    if (group.options.killer) run_killer(group);
    look_again = (group.ref.pin == Pin::Members || group.ref.session) && signal_members(group);
  } else if (group.ladder.state() == LadderState::Killing && (group.ref.pin == Pin::Members || group.ref.session)) {
    look_again = signal_members(group);  // born since the last look
  }
  if (look_again) {
    group.signal_due = group.ladder.state() == LadderState::Grace;
    return request_census(group);
  }
  if (!group.ref.leader_exited) return;
  if (!complete) return retry_later(group);
  if (group.found.empty()) return no_live_member(group, started);
  group.clean_scans = 0;
  bool watching = group.watched > 0;
  // The youngest first: they tend to be the last to be reaped, and with them gone one more scan is enough.
  for (size_t i = group.found.size(); i-- > 0 && group.watched < kWatchLimit;) {
    watching |= watch(group, group.found[i], proc_) != nullptr;
  }
  // No pidfd to wait on (none at all, or a full table), or all of them ended meanwhile.
  if (!watching) retry_later(group);
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

void Supervisor::no_live_member(Group& group, uint64_t started) {
  if (group.lost) {
    // A process within execve(2) has no environment to be known by: one scan is not enough. The number of the leader's
    // group may answer for zombies that init has not reaped yet.
    bool enough = ++group.clean_scans >= kLostScans;
    if (enough && (group.found_zombies != 0 || probe_group(group.ref) == -ESRCH)) {
      return finish(group, true, Evidence::Census);
    }
    return retry_later(group);
  }
  Evidence strong = group.ref.session ? Evidence::Census : Evidence::Esrch;
  bool swept = group.killed_at != 0 && started > group.killed_at;
  if (!group.ref.leader_reaped && !swept && !group.options.killer) {
    // The zombie that pins the number also answers for the group. With nobody else to be seen it is given up for proof.
    if (reap(group) && probe_group(group.ref) != -ESRCH) {
      group.report.notes |= kNotePinLost;
      adopt_members(group);
      return retry_later(group);
    }
  }
  if (group.ref.leader_reaped) {
    int r = probe_group(group.ref);
    if (r == -ESRCH) return finish(group, true, strong);
    // Somebody answers who cannot be seen: under hidepid this is a member of another user, not a zombie.
    if (r == -EPERM && group.found_zombies == 0) {
      group.report.notes |= kNoteProcUnreadable;
      return retry_later(group);
    }
  }
  if (swept) return finish(group, true, Evidence::Census);
  if (group.found_zombies == 0 && group.ref.leader_reaped) return retry_later(group);  // a chain too fast to be seen
  if (++group.clean_scans >= kCleanScans) return finish(group, true, Evidence::Census);
  retry_later(group);
}

Watched* Supervisor::watch(Group& group, const ProcStat& member, ProcFs& proc) {
  for (Watched& known : group.members) {
    if (known.pid == member.pid && known.start_time == member.start_time) return &known;
  }
  if (!(features_ & kFeaturePidfd)) {
    if (group.ref.pin != Pin::Members) return nullptr;
    group.members.push({member.pid, -1, member.start_time, 0, true});
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
    if (pidfd < 0) {
      ProcStat again;
      if (!proc_.stat(member.pid, &again) || again.start_time != member.start_time) continue;
      group.report.notes |= kNoteNumericPids;
    }
    int r = signal_process(pidfd, member.pid, sig);
    if (r == 0 && sig != SIGKILL) signal_process(pidfd, member.pid, SIGCONT);
    if (r == 0)
      any = true;
    else if (r != -ESRCH)
      err = -r;
  }
  if (any || err != 0) {
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
  group.report.notes |= kNoteNumericPids;
  if (!listener_->start_killer(group, group.ladder.signal(), refused)) killer_failed(group.id(), EAGAIN);
}

void Supervisor::name_survivors(Group& group, bool complete) {
  group.final_due = false;
  if (group.ref.pin == Pin::Leader && group.ref.leader_exited) return finish(group, true, Evidence::Leader);
  for (const ProcStat& member : group.found) {
    SurvivorRecord record = {};
    record.stat = member;
    proc_.wchan(member.pid, record.wchan, sizeof record.wchan);
    record.held_by_tracer = proc_.tracer(member.pid) != 0;
    Fd pidfd(features_ & kFeaturePidfd ? sys_pidfd_open(member.pid) : -1);
    int r = signal_process(pidfd.get(), member.pid, 0);
    if (r == -ESRCH) continue;  // ended since the scan
    record.err = -r;
    group.report.survivors.push(record);
  }
  if (!group.report.survivors.empty()) return finish(group, false, Evidence::Census);
  bool blind = !complete || !proc_.usable();
  if (blind || !group.ref.leader_exited) return finish(group, false, Evidence::Unverified);
  if (!group.ref.leader_reaped) return finish(group, true, Evidence::Census);
  int r = probe_group(group.ref);
  if (r == -ESRCH) return finish(group, true, group.ref.session || group.lost ? Evidence::Census : Evidence::Esrch);
  if (r == -EPERM && group.found_zombies == 0) return finish(group, false, Evidence::Unverified);
  if (group.killed_at != 0 || group.found_zombies != 0) return finish(group, true, Evidence::Census);
  finish(group, false, Evidence::Unverified);
}

}  // namespace procgroup
