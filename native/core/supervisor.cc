#include "supervisor.h"

#include "protocol.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

namespace procgroup {
namespace {

constexpr uint64_t kSurvivorLook = 1'000'000'000;  // 1 s

bool terminating(int sig) {
  return sig != SIGKILL && sig != SIGCONT && sig != SIGSTOP && sig != SIGTSTP && sig != SIGTTIN && sig != SIGTTOU;
}

}  // namespace

void Supervisor::begin(Group& group, Cause cause, bool kill) {
  if (group.phase == Phase::Empty || group.phase == Phase::Survivors) return;
  timers_.cancel(&group.lease_timer);
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

void Supervisor::start_lease(Group& group) {
  if (group.options.lease_ns != 0) timers_.arm(&group.lease_timer, now_ns() + group.options.lease_ns);
}

bool Supervisor::renew(Group& group, uint64_t lease_ns) {
  if (group.phase == Phase::Empty || group.told_gone || group.report.cause != Cause::None) return false;
  uint64_t now = now_ns();
  bool passed = group.lease_timer.armed() && group.lease_timer.deadline <= now;
  if (passed || lease_ns == 0)
    begin(group, Cause::Lease, false);
  else if (lease_ns == kNever)
    timers_.cancel(&group.lease_timer);
  else
    timers_.arm(&group.lease_timer, now + lease_ns);
  return !passed;
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
  // Who is being waited for is looked up again, on the loop: the step may have ended members that nobody watched.
  if (group.ref.leader_exited) group.sweep_due = sweep_due_ = true;
}

SignalResult Supervisor::signal(Group& group, int sig) {
  SignalResult result;
  if (group.ref.pin != Pin::Members) {
    result = signal_group(group.ref, sig);
    if (result.target == Target::Leader && group.ref.pin != Pin::Leader) group.report.notes |= kNoteLeaderAlone;
    return result;
  }
  if (group.tree) {  // nothing of ours holds the number: the leader's parent sends it
    int r = send_order(group, Order::Signal, sig, Cause::None, false, 0);
    if (r == 0)
      result.target = Target::Group;
    else if (r != -EPIPE && r != -ECONNRESET)  // its end, and the leader's with it, of which the news are under way
      result.err = -r;
    return result;
  }
  caller_proc_.scan([&](const ProcStat& process) {
    if (!process.alive() || !belongs(group, process, caller_proc_)) return;
    int r = signal_once(group, process, caller_proc_, sig, false);
    if (r == 0)
      result.target = Target::Members;
    else if (r != -ESRCH)
      result.err = -r;
  });
  int missed = -caller_proc_.scan_failure();
  if (result.target == Target::Members)
    result.err = 0;
  else if (result.err == 0 && missed != ESRCH && (group.lost || probe_group(group.ref) != -ESRCH))
    result.err = missed;  // who was not looked at may live
  return result;
}

void Supervisor::ask_members(Group& group) {
  group.list_due = true;
  if (!group.tree) return request_census(group);
  ask_guardian(group);
}

void Supervisor::release(Group& group) {
  group.held = false;
  timers_.cancel(&group.timeout_timer);
  timers_.cancel(&group.lease_timer);
  if (!group.tree) return;
  group.release_owed = true;
  send_owed(group);
}

void Supervisor::end_owner(uint32_t owner) {
  uint64_t now = now_ns();
  for (size_t i = 0; i < slots_.size(); i++) {
    Group* group = slots_[i];
    if (group == nullptr || (owner != 0 && group->owner != owner)) continue;
    if (owner == 0 && group->killer_for != 0) continue;  // bounded by its own timeout
    if (owner != 0) group->owner = 0;
    if (!group->held || group->phase == Phase::Empty || group->phase == Phase::Survivors) {
      if (owner != 0 && group->attached && group->phase != Phase::Draining) free_group(group);
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
  timers_.cancel(&group.lease_timer);
  timers_.cancel(&group.ladder_timer);
  timers_.cancel(&group.retry_timer);
  while (!group.members.empty()) unwatch(group, group.members.size() - 1);
  take_terminal_back(group);
  group.phase = empty ? Phase::Empty : Phase::Survivors;
  group.report.empty = empty;
  group.report.evidence = evidence;
  group.report.duration_ns = group.teardown_start == 0 ? 0 : now_ns() - group.teardown_start;
  if (!group.leaf.empty()) remove_leaf(group);
  if (group.list_due || group.list_now) {
    group.list_due = group.list_now = false;
    if (empty) group.found.clear();
    listener_->on_members(group);
  }
  listener_->on_gone(group);
  if (!empty) return watch_survivors(group);  // kept: its number stays pinned, and signal() may still be asked for
  if (group.attached || reap(group))
    free_group(&group);
  else
    reap_later(group);
}

// Until nobody answers any more the record stays. Looked at now and then: nothing else would tell.
void Supervisor::watch_survivors(Group& group) { timers_.arm(&group.retry_timer, now_ns() + kSurvivorLook); }

void Supervisor::look_at_survivors(Group& group) {
  bool gone = group.ref.pin == Pin::Leader
                  ? group.ref.leader_exited
                  : probe_group(group.ref) == -ESRCH && session_number(group) != NumberState::Taken;
  if (!gone && !group.ref.leader_reaped && group.ref.leader_exited) {  // our own zombie answers for the group
    ProcStat stat;
    bool others = false;
    caller_proc_.scan([&](const ProcStat& process) {
      others |= process.pid != group.ref.leader && belongs(group, process, caller_proc_) && process.alive();
    });
    gone = !others && caller_proc_.stat(group.ref.leader, &stat);
  }
  // A leader that has left the group lives on: its end is still to be told, and its zombie ours.
  if (gone && (group.attached || (group.ref.leader_exited && reap(group)))) return free_group(&group);
  watch_survivors(group);
}

void Supervisor::call_killer(Group& group, int sig, const Vec<pid_t>& pids) {
  group.report.notes |= kNoteNumericPids;
  group.report.steps.push({sig, Target::Killer, 0, now_ns() - group.teardown_start});
  if (!listener_->start_killer(group, sig, pids)) killer_failed(group.id(), EAGAIN);
}

void Supervisor::killer_failed(uint64_t id, int err) {
  Group* group = find(id);
  if (group == nullptr) return;
  group->report.notes |= kNoteKillerFailed;
  for (size_t i = group->report.steps.size(); i-- > 0;) {
    if (group->report.steps[i].target != Target::Killer) continue;
    group->report.steps[i].err = err;
    return;
  }
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
    if (timer == &late_timer_) {
      reap_late();
      continue;
    }
    Group& group = *static_cast<Group*>(timer->owner);
    switch (static_cast<TimerKind>(timer->kind)) {
      case kTimeout:
        group.killer_timed_out = group.killer_for != 0;
        if (Group* target = group.killer_timed_out ? find(group.killer_for) : nullptr) {
          target->report.notes |= kNoteKillerTimeout;  // now: it may not be killable at all
        }
        begin(group, Cause::Timeout, group.killer_timed_out);
        break;
      case kLease:
        begin(group, Cause::Lease, false);
        break;
      case kLadder:
        if (group.tree) {
          guardian_overdue(group, now);
          break;
        }
        act(group, group.ladder.on(LadderEvent::Deadline));
        break;
      case kRetry:
        if (group.phase == Phase::Survivors) {
          look_at_survivors(group);
          break;
        }
        group.sweep_due = sweep_due_ = true;
        break;
      case kTracer:
        if (group.tree)
          on_guardian_exit(group);
        else
          leader_ready(group);
        break;
      case kLate:
        break;
    }
  }
}

}  // namespace procgroup
