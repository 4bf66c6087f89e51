// The leader's end: its exit notice, its zombie, the terminal it was given.
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supervisor.h"

namespace procgroup {
namespace {

constexpr uint64_t kTracerRetry = 20'000'000;  // 20 ms, doubled up to 1 s
constexpr uint32_t kTracerPatience = 4;        // retries before the exit is reported as held
constexpr uint32_t kInitPatience = 7;          // about 5 s in all: some containers' init is slow to reap
constexpr uint64_t kMaxRetry = 1'000'000'000;

}  // namespace

void Supervisor::unwatch_leader(Group& group) {
  if (!group.leader_watched) return;
  reaper_->remove(group.ref.pidfd.get());
  group.leader_watched = false;
}

// Takes the zombie. True: it is gone, by us or by somebody else.
bool Supervisor::reap(Group& group) {
  if (group.ref.leader_reaped) return true;
  WaitStatus status;
  int r = sys_waitid_exit(wait_fd(group.ref.pidfd), group.ref.leader, 0, &status);
  group.ref.leader_reaped = r < 0 || status.ready;
  return group.ref.leader_reaped;
}

void Supervisor::reap_later(Group& group) { timers_.arm(&group.tracer_timer, now_ns() + kTracerRetry); }

// A child that was given up while a tracer held it: its zombie is ours for as long as nobody takes it.
void Supervisor::reap_without_group(pid_t child) {
  late_.push(child);
  late_timer_.kind = kLate;
  if (!late_timer_.armed()) timers_.arm(&late_timer_, now_ns() + kMaxRetry);
}

void Supervisor::reap_late() {
  for (size_t i = late_.size(); i-- > 0;) {
    WaitStatus status;
    if (sys_waitid_exit(-1, late_[i], 0, &status) < 0 || status.ready) late_.remove_swap(i);
  }
  if (!late_.empty()) timers_.arm(&late_timer_, now_ns() + kMaxRetry);
}

void Supervisor::leader_ready(Group& group) {
  if (group.attached) {
    unwatch_leader(group);
    bool known = exit_info(group, &group.exit);
    if (known) group.exit_kind = ExitStatusKind::Exact;
    // Told once its parent has reaped it. Only a survivor's end, on which nothing waits, is asked for again.
    if (!known && group.phase == Phase::Survivors && ++group.retries <= kInitPatience) {
      return timers_.arm(&group.tracer_timer, now_ns() + (kTracerRetry << group.retries));
    }
    return leader_exited(group, group.exit_kind);
  }
  bool keep = group.ref.pin == Pin::Zombie || group.options.killer;
  WaitStatus status;
  if (group.ref.leader_exited) {  // an earlier tracer held it, or the group has ended: only the zombie is left
    bool over = group.phase == Phase::Empty || group.phase == Phase::Survivors;
    if (keep && !over && !group.ref.leader_reaped) {  // which goes on pinning the number
      int r = sys_waitid_exit(wait_fd(group.ref.pidfd), group.ref.leader, WNOWAIT, &status);
      if (r == 0 && !status.ready) return timers_.arm(&group.tracer_timer, now_ns() + kMaxRetry);
      if (r < 0) lose_zombie(group);
      return settle(group);
    }
    if (!reap(group))
      timers_.arm(&group.tracer_timer, now_ns() + kMaxRetry);
    else if (group.phase == Phase::Empty)
      free_group(&group);
    return;
  }
  int r = sys_waitid_exit(wait_fd(group.ref.pidfd), group.ref.leader, keep ? WNOWAIT : 0, &status);
  if (r == 0 && !status.ready) {
    // Readable but not waitable: a tracer that does not wait holds it. epoll would report it for ever.
    unwatch_leader(group);
    uint64_t pause = kTracerRetry << (group.retries < 6 ? group.retries : 6);
    timers_.arm(&group.tracer_timer, now_ns() + (pause < kMaxRetry ? pause : kMaxRetry));
    if (++group.retries > kTracerPatience) leader_exited(group, ExitStatusKind::HeldByTracer);
    return;
  }
  unwatch_leader(group);
  if (r < 0) {  // ECHILD: SIGCHLD is ignored, or a foreign wait took it
    bool known = exit_info(group, &status);
    group.exit = status;
    lose_zombie(group);
    return leader_exited(group, known ? ExitStatusKind::Exact : ExitStatusKind::Unknown);
  }
  group.exit = status;
  group.ref.leader_reaped = !keep;
  leader_exited(group, ExitStatusKind::Exact);
}

// Somebody else has taken it.
void Supervisor::lose_zombie(Group& group) {
  group.ref.leader_reaped = true;
  if (group.ref.pin != Pin::Zombie) return;
  // A process that leads it now is a stranger: then nobody is known, and the number counts as lost.
  ProcStat other;
  group.ref.pin = Pin::Members;
  if (!caller_proc_.stat(group.ref.pgid, &other)) adopt_members(group);
  group.report.notes |= kNotePinLost;
}

void Supervisor::leader_exited(Group& group, ExitStatusKind kind) {
  group.exit_kind = kind;
  group.ref.leader_exited = true;
  group.retries = 0;
  if (group.phase == Phase::Running) group.phase = Phase::LeaderExited;
  take_terminal_back(group);
  if (group.killer_for != 0) killer_ended(group);
  listener_->on_leader_exit(group);
  settle(group);
}

void Supervisor::killer_ended(Group& killer) {
  Group* group = find(killer.killer_for);
  if (group == nullptr || group->phase != Phase::Draining) return;
  if (!killer.killer_timed_out && killer.exit.code != 0) group->report.notes |= kNoteKillerFailed;
  int err = killer.exit.signal != 0 ? -killer.exit.signal : killer.exit.code;
  // Its record was made when it was started: the group may be gone before the killer is.
  for (size_t i = group->report.steps.size(); i-- > 0;) {
    StepRecord& step = group->report.steps[i];
    if (step.target != Target::Killer || step.signal != killer.killer_signal) continue;
    step.err = err;
    return;
  }
}

// Only from our own group: the command may have handed the terminal on, or the shell may have taken it.
void Supervisor::take_terminal_back(Group& group) {
  if (!group.tty.valid()) return;
  if (tcgetpgrp(group.tty.get()) == group.ref.pgid) tcsetpgrp(group.tty.get(), group.tty_owner);
  group.tty.reset();
}

void Supervisor::on_leader_waitable(uint64_t id) {
  Group* group = find(id);
  if (group == nullptr) return;
  if (group->tree)
    on_guardian_exit(*group);
  else
    leader_ready(*group);
}

}  // namespace procgroup
