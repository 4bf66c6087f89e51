// The proof that a group is empty. Only these are proofs: ESRCH from signal 0 to the group, the leader's own end under
// containment `leader`, a session's number that is free, and a census begun after SIGKILL reached the whole group. A
// scan of /proc alone is none: a chain that forks and exits can stay invisible to it.
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "cgroup.h"
#include "supervisor.h"

namespace procgroup {
namespace {

constexpr size_t kWatchLimit = 64;                // members waited for at a time, where the group is signalled as one
constexpr uint64_t kFirstRetry = 5'000'000;       // 5 ms, doubled up to 1 s
constexpr uint64_t kDying = 2'000'000;            // 2 ms
constexpr uint64_t kLongestLook = 1'000'000'000;  // between looks for members that have left
constexpr uint64_t kLongestLookDraining = 200'000'000;  // while somebody waits for the end
constexpr uint32_t kSessionScans = 12;                  // some seconds, where the number of a session tells nothing
constexpr uint32_t kLostScans = 3;                      // before a tree without its guardian is called empty
constexpr uint32_t kCleanScans = 5;  // before a group of nothing but zombies is called empty without a SIGKILL

// Order does not matter to it, and a pid that comes and goes does.
void count_zombie(Group& group, const ProcStat& zombie) {
  group.found_zombies++;
  group.zombie_hash += (static_cast<uint64_t>(zombie.pid) * 0x9e3779b97f4a7c15u) ^ zombie.start_time;
}

bool in_leaf(const Group& group, const ProcStat& process, ProcFs& proc) {
  if (group.leaf.empty()) return false;
  const char* slash = strrchr(group.leaf.begin(), '/');
  return in_cgroup(proc, process.pid, slash + 1);
}

}  // namespace

// Taken until the last process of the session has been reaped, whatever that one's own group is. A living process that
// has the number itself was given it after that.
NumberState Supervisor::session_number(const Group& group) {
  bool told = group.ref.session && !group.lost && group.ref.leader_reaped && (features_ & kFeatureNumberFree);
  if (!told) return NumberState::Unknown;
  NumberState state = number_state(proc_.directory() >= 0 ? proc_.directory() : spare_.get(), group.ref.sid);
  ProcStat other;
  bool given_away = state == NumberState::Taken && caller_proc_.stat(group.ref.sid, &other) && other.alive();
  return given_away ? NumberState::Free : state;
}

// No scan shows a living member, and the kernel says that there is somebody: of another user, or a chain of short
// lives.
bool Supervisor::unseen_session(Group& group) {
  if (session_number(group) != NumberState::Taken || (group.found_zombies != 0 && !proc_.blind())) return false;
  if (proc_.blind()) group.report.notes |= kNoteProcUnreadable;
  return true;
}

bool Supervisor::belongs(const Group& group, const ProcStat& process, ProcFs& proc) {
  if (group.lost) {  // a zombie has no environment: those of the leader's group are known by its number
    bool dead_in_group = !process.alive() && group.ref.pgid > 0 && process.pgid == group.ref.pgid;
    return dead_in_group || proc.has_environment(process.pid, group.mark) || in_leaf(group, process, proc);
  }
  if (process.pid == group.ref.leader && !group.ref.leader_exited) return true;
  if (group.ref.pin == Pin::Leader) return false;
  return process.pgid == group.ref.pgid || (group.ref.session && process.sid == group.ref.sid);
}

// Called whenever the group may have become empty. Does nothing while somebody known to live is being waited for.
void Supervisor::settle(Group& group) {
  if (group.phase == Phase::Empty || group.phase == Phase::Survivors) return;
  if (!group.ref.leader_exited) return;
  if (group.watched > 0 && group.ref.pin != Pin::Members) return look_again_later(group);
  if (group.ref.pin == Pin::Leader) return finish(group, true, Evidence::Leader);
  bool pinned_by_zombie = !group.ref.leader_reaped;
  bool answers = pinned_by_zombie || probe_group(group.ref) != -ESRCH;
  if (!answers && !group.lost && (!group.ref.session || session_number(group) == NumberState::Free)) {
    return finish(group, true, Evidence::Esrch);
  }
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

// For members that are waited for: only one that leaves the group does so without an event.
void Supervisor::look_again_later(Group& group) {
  if (group.retry_timer.armed()) return;
  uint64_t pause = kFirstRetry << (group.retries < 10 ? group.retries : 10);
  uint64_t most = group.phase == Phase::Draining ? kLongestLookDraining : kLongestLook;
  group.retries++;
  timers_.arm(&group.retry_timer, now_ns() + (pause < most ? pause : most));
}

// Of any of them: then more depends on the pass than a list.
bool Supervisor::nobody_found(const Vec<Group*>& due) {
  for (const Group* group : due) {
    if (group->found.empty() && group->ref.leader_exited && !group->lost) return true;
  }
  return false;
}

// False: it could not be completed.
bool Supervisor::pass(const Vec<Group*>& due) {
  for (Group* group : due) {
    group->found.clear();
    group->found_zombies = 0;
    group->zombie_hash = 0;
  }
  return proc_.scan([&](const ProcStat& process) {
    for (Group* group : due) {
      if (!belongs(*group, process, proc_)) continue;
      if (process.alive()) {
        group->found.push(process);
      } else {
        count_zombie(*group, process);
        group->leader_dead |= process.pid == group->ref.leader;
      }
    }
  });
}

// One pass over /proc, or two, serve every group that waits for one.
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
    group->list_now = group->list_due;
    group->list_due = false;
    due.push(group);
  }
  uint64_t started = now_ns();
  // What belongs() reads changes on this thread only. A group that another thread frees meanwhile is buried afterwards.
  scanning_ = true;
  listener_->unlock();
  // Two passes without a fork prove what they do not show. One does not: a process that was inside fork(2) when it
  // began may have ended unseen, and its child have come behind it.
  pid_t last = proc_.last_pid();
  bool complete = pass(due);
  bool exact = complete && last > 0 && last == proc_.last_pid();
  if (exact && nobody_found(due)) {
    complete = pass(due);
    exact = complete && last == proc_.last_pid();
  }
  listener_->lock();
  for (Group* group : due) {
    if (!group->dead) after_census(*group, started, complete, exact);
  }
  scanning_ = false;
  for (Group* group : graves_) bury(group);
  graves_.clear();
}

void Supervisor::after_census(Group& group, uint64_t started, bool complete, bool exact) {
  if (group.list_now) {
    group.list_now = false;
    listener_->on_members(group);
  }
  if (group.list_due) request_census(group);  // asked for while the scan ran
  if (group.phase == Phase::Empty || group.phase == Phase::Survivors) return;
  if (!complete) group.report.notes |= kNoteProcUnreadable;
  bool ours = still_ours(group, proc_);
  if (!ours && !unsure_) return number_lost(group);
  if (!ours) group.found.clear();
  if (group.final_due) return name_survivors(group, complete && ours, exact);
  if (!ours) return retry_later(group);
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
  if (group.found.empty()) return no_live_member(group, started, exact);
  group.clean_scans = 0;
  // The youngest first: they tend to be the last to be reaped, and with them gone one more scan is enough.
  for (size_t i = group.found.size(); i-- > 0 && group.watched < kWatchLimit;) {
    watch(group, group.found[i], proc_);
  }
  // No pidfd to wait on (none at all, or a full table), or all of them ended meanwhile.
  if (group.watched == 0)
    retry_later(group);
  else
    look_again_later(group);
}

// The scan saw nobody alive. That is a proof in three cases only: the group answers ESRCH; SIGKILL had reached all of
// it before the scan began; nobody forked during the scan. Else a chain of short lives may have slipped through. Of a
// session, which may have other groups, the first two say nothing, but its own number does where it is free. Where
// members of other users are kept from us (hidepid) only what the kernel answers is one: a zombie of ours that answers
// may stand before them.
void Supervisor::no_live_member(Group& group, uint64_t started, bool exact) {
  if (group.lost) return lost_tree_unseen(group);
  bool session = group.ref.session, blind = proc_.blind();
  bool swept = !session && group.killed_at != 0 && started > group.killed_at;
  if (group.ref.leader_reaped) {
    int r = probe_group(group.ref);
    if (r == -ESRCH && (!session || session_number(group) == NumberState::Free)) {
      return finish(group, true, Evidence::Esrch);
    }
    if (unseen_session(group)) return retry_later(group);
    if (r == -ESRCH && exact && !blind) return finish(group, true, Evidence::Census);
    // Somebody answers who cannot be seen: a member of another user, or whoever makes the scan untrue.
    if (r != -ESRCH && (blind || group.found_zombies == 0)) {
      if (r == -EPERM || blind) group.report.notes |= kNoteProcUnreadable;
      return retry_later(group);
    }
  } else if (blind && swept && !session) {
    return give_up_zombie(group);
  } else if (blind && group.phase == Phase::Draining && group.killed_at == 0) {
    return retry_later(group);  // who is not seen has the grace that all have, and the pin until SIGKILL
  }
  if ((swept || exact) && !blind) return finish(group, true, Evidence::Census);
  // Zombies that nobody reaps: a living chain would add to them.
  bool same = group.clean_scans > 0 && group.zombie_hash == group.last_zombie_hash;
  group.last_zombie_hash = group.zombie_hash;
  group.clean_scans = same ? group.clean_scans + 1 : 1;
  if (session) {
    // On a machine that never stops forking no scan is exact: after enough of them the report says what it rests on.
    if (group.clean_scans < kSessionScans) return retry_later(group);
    bool over = reap(group) && session_number(group) == NumberState::Free;
    if (!over && unseen_session(group)) return give_up_zombie(group);
    return finish(group, true, over ? Evidence::Esrch : Evidence::Unverified);
  }
  if (group.ref.leader_reaped) {
    if (group.found_zombies > 0 && group.clean_scans >= kCleanScans) return finish(group, true, Evidence::Census);
    return retry_later(group);
  }
  // The leader's zombie pins the number and answers for the group. A ladder that runs settles it while the pin holds:
  // what cannot be seen is killed, and the next scan is a proof.
  if (group.phase == Phase::Draining && group.clean_scans >= 2) {
    if (signal_group(group.ref, SIGKILL).err == 0) group.killed_at = now_ns();
    return request_census(group);
  }
  if (group.clean_scans < kCleanScans || group.options.killer) return retry_later(group);
  give_up_zombie(group);
}

// For ESRCH, the better proof: at a natural end, or where the scan shows less than there is.
void Supervisor::give_up_zombie(Group& group) {
  if (!reap(group)) return retry_later(group);
  if (probe_group(group.ref) == -ESRCH) return settle(group);
  if (group.ref.pin == Pin::Zombie) {
    group.report.notes |= kNotePinLost;
    adopt_members(group);
  }
  retry_later(group);
}

// Who shed the mark of a tree cannot be seen once its guardian is lost: the best that can be said is that nobody who
// bears it is left. A process within execve(2) has no environment to be known by, so one scan is not enough. The number
// of the leader's group may answer for zombies that init has not reaped yet.
void Supervisor::lost_tree_unseen(Group& group) {
  bool enough = ++group.clean_scans >= kLostScans;
  bool answered = group.found_zombies != 0 || probe_group(group.ref) == -ESRCH;
  bool empty = leaf_empty(group);
  if (!empty && group.phase == Phase::Draining) kill_leaf(group);
  if (enough && answered && empty) {
    return finish(group, true, group.leaf.empty() ? Evidence::Unverified : Evidence::Populated);
  }
  retry_later(group);
}

}  // namespace procgroup
