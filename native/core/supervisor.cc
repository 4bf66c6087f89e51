#include "supervisor.h"

#include "protocol.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

namespace procgroup {
namespace {

constexpr uint32_t kGenerationMask = 0xfffffff;  // an id stays below 2^53: it travels as a double

bool terminating(int sig) {
  return sig != SIGKILL && sig != SIGCONT && sig != SIGSTOP && sig != SIGTSTP && sig != SIGTTIN && sig != SIGTTOU;
}

}  // namespace

Group* Supervisor::allocate() {
  uint32_t slot;
  if (!free_slots_.empty()) {
    slot = free_slots_.back();
    free_slots_.pop();
  } else {
    slot = static_cast<uint32_t>(slots_.size());
    slots_.push(nullptr);
    generations_.push(0);
  }
  void* memory = malloc(sizeof(Group));
  if (memory == nullptr) abort();
  Group* group = new (Place{memory}) Group;
  group->slot = slot;
  group->generation = generations_[slot] = (generations_[slot] + 1) & kGenerationMask;
  Timer* timers[] = {&group->timeout_timer, &group->ladder_timer, &group->retry_timer, &group->tracer_timer};
  for (int kind = kTimeout; kind <= kTracer; kind++) {
    timers[kind]->kind = kind;
    timers[kind]->owner = group;
  }
  slots_[slot] = group;
  live_++;
  return group;
}

void Supervisor::free_group(Group* group) {
  while (!group->members.empty()) unwatch(*group, group->members.size() - 1);
  unwatch_leader(*group);
  if (group->tree) forget_guardian(*group);
  timers_.cancel(&group->timeout_timer);
  timers_.cancel(&group->ladder_timer);
  timers_.cancel(&group->retry_timer);
  timers_.cancel(&group->tracer_timer);
  slots_[group->slot] = nullptr;
  free_slots_.push(group->slot);
  live_--;
  group->~Group();
  free(group);
}

Group* Supervisor::find(uint64_t id) {
  uint32_t slot = static_cast<uint32_t>(id & 0xffffff);
  if (slot >= slots_.size() || slots_[slot] == nullptr) return nullptr;
  return slots_[slot]->generation == static_cast<uint32_t>(id >> 24) ? slots_[slot] : nullptr;
}

size_t Supervisor::undecided() const {
  size_t n = 0;
  for (Group* group : slots_) {
    n += group != nullptr && group->phase != Phase::Empty && group->phase != Phase::Survivors && group->held;
  }
  return n;
}

// How long the teardown of all that is held can take from now, once its graces are capped.
uint64_t Supervisor::longest_end() const {
  uint64_t longest = 0;
  for (Group* group : slots_) {
    if (group == nullptr || !group->held) continue;
    uint64_t end = group->options.exit_grace_ns + group->options.kill_wait_ns;
    if (end > longest) longest = end;
  }
  return longest;
}

Group* Supervisor::adopt(GroupRef&& ref, GroupOptions&& options, uint32_t owner, Error* error) {
  Group* group = allocate();
  group->ref.leader = ref.leader;
  group->ref.pgid = ref.pgid;
  group->ref.sid = ref.sid;
  group->ref.pin = ref.pin;
  group->ref.session = ref.session;
  group->ref.pidfd = static_cast<Fd&&>(ref.pidfd);
  group->options = static_cast<GroupOptions&&>(options);
  group->owner = owner;
  group->ladder.configure(group->options.ladder.data(), group->options.ladder.size(), group->options.kill_wait_ns);
  if (group->ref.pidfd.valid()) {
    int r = reaper_->add(group->ref.pidfd.get(), {kLeader, group->slot, group->generation});
    if (r < 0) {
      *error = make_error(-r, Stage::Register, "epoll_ctl");
      return discard(group);
    }
    group->leader_watched = true;
  }
  if (group->options.timeout_ns != 0) timers_.arm(&group->timeout_timer, now_ns() + group->options.timeout_ns);
  return group;
}

Group* Supervisor::discard(Group* group) {
  if (group->tree)
    signal_process(group->guardian_pidfd.get(), group->guardian, SIGKILL);
  else
    signal_group(group->ref, SIGKILL);
  WaitStatus status;
  sys_waitid_exit_blocking(group->tree ? group->guardian : group->ref.leader, &status);
  free_group(group);
  return nullptr;
}

Group* Supervisor::attach(pid_t pgid, GroupOptions&& options, uint32_t owner, int* err) {
  int r = killpg_guarded(pgid, 0);
  if (r == -ESRCH) {
    *err = ESRCH;
    return nullptr;
  }
  Group* group = allocate();
  group->attached = true;
  group->held = false;
  group->owner = owner;
  group->options = static_cast<GroupOptions&&>(options);
  group->ladder.configure(group->options.ladder.data(), group->options.ladder.size(), group->options.kill_wait_ns);
  group->ref.leader = pgid;
  group->ref.pgid = pgid;
  group->ref.pin = Pin::Members;
  group->ref.leader_reaped = true;  // never ours to reap
  group->ref.numeric_members = !(features_ & kFeaturePidfd);
  group->exit_kind = ExitStatusKind::Unknown;
  // The leader's own pidfd pins the group, if the process of that number still leads it.
  ProcStat leader;
  if (features_ & kFeaturePidfd) group->ref.pidfd.reset(move_high(sys_pidfd_open(pgid), high_fd_));
  if (group->ref.pidfd.valid() && caller_proc_.stat(pgid, &leader) && leader.pgid == pgid && leader.alive()) {
    group->ref.sid = leader.sid;
    if (features_ & kFeaturePidfdGroup) group->ref.pin = Pin::PidfdGroup;
    group->leader_watched = reaper_->add(group->ref.pidfd.get(), {kLeader, group->slot, group->generation}) == 0;
  }
  if (group->ref.pin == Pin::Members) adopt_members(*group);
  if (!group->leader_watched) {
    group->ref.leader_exited = true;
    group->phase = Phase::LeaderExited;
    request_census(*group);
  }
  return group;
}

void Supervisor::begin(Group& group, Cause cause, bool kill) {
  if (group.phase == Phase::Empty || group.phase == Phase::Survivors) return;
  if (group.tree) return begin_tree(group, cause, kill);
  if (group.phase != Phase::Draining) {
    group.phase = Phase::Draining;
    group.report.cause = cause;
    group.teardown_start = now_ns();
    timers_.cancel(&group.timeout_timer);
    listener_->on_draining(group);
  }
  act(group, group.ladder.on(kill ? LadderEvent::Kill : LadderEvent::Begin));
}

void Supervisor::act(Group& group, LadderAction action) {
  switch (action) {
    case LadderAction::Signal:
      return send_step(group);
    case LadderAction::NameSurvivors:
      group.final_due = true;
      return request_census(group);
    case LadderAction::Finish:
    case LadderAction::None:
      return;
  }
}

void Supervisor::send_step(Group& group) {
  uint64_t now = now_ns();
  int sig = group.ladder.signal();
  group.step++;
  group.retries = 0;
  timers_.arm(&group.ladder_timer, group.ladder.deadline(now));
  if (group.ref.pin != Pin::Members) {
    SignalResult sent = signal_group(group.ref, sig);
    if (sent.target == Target::Leader && group.ref.pin != Pin::Leader) group.report.notes |= kNoteLeaderAlone;
    if (sent.target != Target::Gone) {
      group.report.steps.push({sig, sent.target, sent.err, now - group.teardown_start});
    }
    // A stopped member keeps the signal pending until it is continued.
    if (terminating(sig)) signal_group(group.ref, SIGCONT);
    if (sig == SIGKILL && sent.err == 0) group.killed_at = now;
  }
  bool members_apart = group.ref.pin == Pin::Members || group.ref.session;
  if (members_apart || group.options.killer) {
    group.signal_due = true;
    request_census(group);
  }
  if (group.ref.leader_exited) {
    // Who is being waited for is looked up again: the step may have ended members that nobody watched.
    settle(group);
  }
}

SignalResult Supervisor::signal(Group& group, int sig) {
  SignalResult result;
  if (group.ref.pin != Pin::Members) {
    result = signal_group(group.ref, sig);
    if (result.target == Target::Leader && group.ref.pin != Pin::Leader) group.report.notes |= kNoteLeaderAlone;
    return result;
  }
  if (group.tree) {  // nothing of ours holds the number: the leader's parent sends it
    if (send_order(group, Order::Signal, sig, Cause::None, false, 0)) result.target = Target::Group;
    return result;
  }
  caller_proc_.scan([&](const ProcStat& process) {
    if (!process.alive() || !belongs(group, process, caller_proc_)) return;
    Fd pidfd(group.ref.numeric_members ? -1 : sys_pidfd_open(process.pid));
    ProcStat again;
    if (!pidfd.valid() && !group.ref.numeric_members) return;
    if (!caller_proc_.stat(process.pid, &again) || again.start_time != process.start_time ||
        !belongs(group, again, caller_proc_) || !still_ours(group, caller_proc_)) {
      return;
    }
    int r = signal_process(pidfd.get(), process.pid, sig);
    if (r == 0)
      result.target = Target::Members;
    else if (r != -ESRCH)
      result.err = -r;
  });
  if (result.target == Target::Members) result.err = 0;
  return result;
}

void Supervisor::ask_members(Group& group) {
  group.list_due = true;
  if (!group.tree) return request_census(group);
  group.found.clear();
  if (!send_order(group, Order::Census, 0, Cause::None, false, 0)) lose_guardian(group);
}

void Supervisor::release(Group& group) {
  group.held = false;
  timers_.cancel(&group.timeout_timer);
  if (group.tree) send_order(group, Order::Release, 0, Cause::None, false, 0);
}

void Supervisor::end_owner(uint32_t owner) {
  uint64_t now = now_ns();
  for (size_t i = 0; i < slots_.size(); i++) {
    Group* group = slots_[i];
    if (group == nullptr || (owner != 0 && group->owner != owner)) continue;
    if (owner != 0) group->owner = 0;
    if (!group->held || group->phase == Phase::Empty || group->phase == Phase::Survivors) {
      if (owner != 0 && group->attached) free_group(group);
      continue;
    }
    group->ladder.cap_graces(now + group->options.exit_grace_ns);
    group->grace_cap = now + group->options.exit_grace_ns;
    if (group->ladder_timer.armed() && !group->tree) {
      uint64_t cap = now + group->options.exit_grace_ns;
      if (group->ladder.state() == LadderState::Grace && group->ladder_timer.deadline > cap) {
        timers_.arm(&group->ladder_timer, cap);
      }
    }
    begin(*group, Cause::Exit, false);
  }
}

void Supervisor::finish(Group& group, bool empty, Evidence evidence) {
  group.ladder.on(LadderEvent::Empty);
  timers_.cancel(&group.timeout_timer);
  timers_.cancel(&group.ladder_timer);
  timers_.cancel(&group.retry_timer);
  while (!group.members.empty()) unwatch(group, group.members.size() - 1);
  take_terminal_back(group);
  group.phase = empty ? Phase::Empty : Phase::Survivors;
  group.report.empty = empty;
  group.report.evidence = evidence;
  group.report.duration_ns = group.teardown_start == 0 ? 0 : now_ns() - group.teardown_start;
  if (group.list_due) {
    group.list_due = false;
    if (empty) group.found.clear();
    listener_->on_members(group);
  }
  listener_->on_gone(group);
  bool reaped = !group.ref.leader_exited ? group.attached : reap(group);
  if (!empty) return;  // kept: its number stays pinned, and signal() may still be asked for
  if (reaped)
    free_group(&group);
  else
    reap_later(group);
}

void Supervisor::killer_failed(uint64_t id, int err) {
  Group* group = find(id);
  if (group == nullptr) return;
  group->report.notes |= kNoteKillerFailed;
  group->report.steps.push({group->ladder.signal(), Target::Killer, err, now_ns() - group->teardown_start});
}

void Supervisor::on_event(Token token) {
  Group* group = token.slot < slots_.size() ? slots_[token.slot] : nullptr;
  if (group == nullptr || group->generation != token.generation) return;
  if (token.kind == kLeader) return leader_ready(*group);
  if (token.kind == kSocket) return on_socket(*group);
  if (token.kind == kGuardian) return on_guardian_exit(*group);
  if (token.kind == kMember) group->sweep_due = sweep_due_ = true;
}

void Supervisor::on_timers(uint64_t now) {
  while (Timer* timer = timers_.take_due(now)) {
    Group& group = *static_cast<Group*>(timer->owner);
    switch (timer->kind) {
      case kTimeout:
        group.killer_timed_out = group.killer_for != 0;
        begin(group, Cause::Timeout, group.killer_timed_out);
        break;
      case kLadder:
        if (group.tree) {
          lose_guardian(group);
          break;
        }
        act(group, group.ladder.on(LadderEvent::Deadline));
        break;
      case kRetry:
        group.sweep_due = sweep_due_ = true;
        break;
      case kTracer:
        leader_ready(group);
        break;
    }
  }
}

}  // namespace procgroup
