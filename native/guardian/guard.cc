#include "guard.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef __WALL
#define __WALL 0x40000000
#endif

namespace procgroup {
namespace {

constexpr uint64_t kRoundPause = 2'000'000;  // 2 ms between rounds of killing where no death wakes us, doubled
// Most trees end by one signal to each group. While its victims are still dying, rounds would only take the processor
// from them; a tree that forks as fast as it dies gets no more than kPatience.
constexpr uint64_t kQuiet = 4'000'000, kPatience = 60'000'000;
constexpr uint64_t kLongestPause = 128'000'000;
constexpr uint64_t kTracerRetry = 20'000'000;  // 20 ms, doubled
constexpr int kTracerPatience = 4;             // then the exit is told as held
constexpr int kMostReaped = 1024;  // a round: orders and deadlines must not wait for a tree that dies on and on

bool terminating(int sig) {
  return sig != SIGKILL && sig != SIGCONT && sig != SIGSTOP && sig != SIGTSTP && sig != SIGTTIN && sig != SIGTTOU;
}

}  // namespace

// kNever where that is beyond the clock.
uint64_t from_now(uint64_t ns) {
  uint64_t now = now_ns();
  return now + ns < now ? kNever : now + ns;
}

int Guard::prepare(bool own_group, int high_fd, Scope scope) {
  high_fd_ = high_fd;
  scope_ = scope;
  // In the supervisor's session but not in its group: a kill -9 of that group must not take the guardian with it.
  if (own_group && setpgid(0, 0) != 0) return -errno;
  if (scope != Scope::Leader && prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) return -errno;
  // The raw calls: libc spares the signals that its threads use, and one of those would end us.
  uint64_t all = ~uint64_t{0};
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, nullptr, sizeof all);
  int fd = static_cast<int>(syscall(SYS_signalfd4, -1, &all, sizeof all, SFD_CLOEXEC | SFD_NONBLOCK));
  signals_.reset(move_high(fd, high_fd));
  return signals_.valid() ? 0 : -errno;
}

// Opened at first use: most commands end without anybody looking at their tree.
Tree& Guard::tree() {
  if (!tree_open_) {
    tree_open_ = true;
    tree_.open(high_fd_, spared_);
    tree_.pin(leader_.pgid() == leader_.pid() ? leader_.pgid() : 0, leader_.pidfd());
    tree_.limit(scope_, leader_.pid(), leader_.pgid(), session_ ? leader_.sid() : 0);
    tree_.enter(box_);
  }
  return tree_;
}

// Takes every zombie. The leader's gives its status; the others were adopted. ECHILD is the proof that nobody is left.
void Guard::reap() {
  nobody_left_ = false;  // it may have been so between two attempts to start the command
  reap_deadline_ = kNever;
  for (int count = 0; count < kMostReaped; count++) {
    siginfo_t info = {};
    WaitStatus status;
    int r = sys_waitid(P_ALL, 0, &info, WEXITED | WSTOPPED | WCONTINUED | WNOHANG | __WALL, &status.usage);
    if (r < 0) {
      nobody_left_ = r == -ECHILD;
      return;
    }
    if (info.si_pid == 0) return;
    bool leader = info.si_pid == leader_.pid();
    if (info.si_code == CLD_STOPPED || info.si_code == CLD_CONTINUED) {
      // A stop that our own teardown asked for is no news.
      if (leader && started_ && state_ != GuardState::Draining) {
        listener_->on_stopped(info.si_code == CLD_CONTINUED ? 0 : info.si_status);
      }
      continue;
    }
    if (info.si_code == CLD_TRAPPED || !leader) continue;
    status.ready = true;
    if (info.si_code == CLD_EXITED)
      status.code = info.si_status;
    else
      status.signal = info.si_status, status.core_dumped = info.si_code == CLD_DUMPED;
    leader_ended(status);
  }
  reap_deadline_ = now_ns();
}

void Guard::leader_ended(const WaitStatus& status) {
  held_deadline_ = kNever;
  bool told = leader_exited_;
  exit_ = status;
  leader_exited_ = true;
  if (!started_ || told) return;
  if (state_ == GuardState::Running) state_ = GuardState::LeaderExited;
  listener_->on_exited(exit_);
}

void Guard::on_watch() {
  if (box_ != nullptr) box_->on_event();
  on_child();
}

void Guard::on_child() {
  hear_verdict();  // first: it can be told from a death alone only while the zombie is there
  reap();
  if (verdict_read_ && leader_exited_) return start_over();
  settle();
}

// Readable but, where a tracer holds it, not waitable: poll would report it for ever, so it is asked by timer.
void Guard::on_leader_dead() {
  if (done() || leader_exited_) return;
  on_child();
  if (done() || leader_exited_) return;
  if (held_ >= kTracerPatience) return leader_ended({});
  held_deadline_ = now_ns() + (kTracerRetry << held_++);
}

// Whether nobody is left, and what proves it.
bool Guard::empty() {
  if (!leader_exited_) return false;
  report_.evidence = scope_ == Scope::Leader ? Evidence::Leader : Evidence::Echild;
  if (box_ != nullptr) return nobody_left_ && box_->empty(&report_.evidence);
  return nobody_left_ || scope_ == Scope::Leader || (scope_ == Scope::Group && group_empty());
}

// ESRCH proves it. Where zombies of other parents stand in the way, a look begun after SIGKILL reached the group does.
bool Guard::group_empty() {
  watched_.reset();
  Vec<ProcStat> members;
  tree().descendants(&members);
  bool proven = tree().group_gone(leader_.pgid());
  report_.evidence = proven ? Evidence::Esrch : Evidence::Census;
  if (members.empty()) return proven || ladder_.state() == LadderState::Killing;
  for (const ProcStat& member : members) {
    if (member.ppid != getpid() && !watched_.valid()) watched_.reset(move_high(sys_pidfd_open(member.pid), high_fd_));
  }
  return false;
}

void Guard::settle() {
  if (done() || !started_) return;
  if (empty()) return finish(true);
  // Under SIGKILL the next round comes at once when somebody died, else by its pause.
  if (ladder_.state() != LadderState::Killing) return;
  uint64_t now = now_ns();
  round_deadline_ = now + kQuiet < rounds_from_ ? now + kQuiet : now < rounds_from_ ? rounds_from_ : now;
  round_pause_ = kRoundPause;
}

void Guard::begin(Cause cause, bool kill, uint64_t grace_cap_ns) {
  if (!done() && !started_) end_start(cause, kill, grace_cap_ns);
  if (done() || !started_) return;
  if (grace_cap_ns != 0) {
    uint64_t cap = from_now(grace_cap_ns);
    ladder_.cap_graces(cap);
    if (ladder_.state() == LadderState::Grace && ladder_deadline_ > cap) ladder_deadline_ = cap;
  }
  if (state_ != GuardState::Draining) {
    state_ = GuardState::Draining;
    report_.cause = cause;
    teardown_start_ = now_ns();
    timeout_deadline_ = kNever;
    setpriority(PRIO_PROCESS, 0, -20);  // where permitted: a fork bomb must not starve us, at no step
    listener_->on_draining(cause);
    if (box_ != nullptr) box_->wake_up();
  }
  act(ladder_.on(kill ? LadderEvent::Kill : LadderEvent::Begin));
}

void Guard::act(LadderAction action) {
  if (action == LadderAction::Signal) return send_step();
  if (action == LadderAction::NameSurvivors) return name_survivors();
}

void Guard::send_step() {
  uint64_t now = now_ns();
  int sig = ladder_.signal();
  ladder_deadline_ = ladder_.deadline(now);
  if (sig == SIGKILL) {
    report_.steps.push({sig, Target::Group, 0, now - teardown_start_});
    tree().signal(sig, false);
    round_deadline_ = now_ns() + kQuiet;
    rounds_from_ = round_deadline_ - kQuiet + kPatience;
    round_pause_ = kRoundPause;
    return tell_refused(sig);
  }
  TreeSignal sent = tree().signal(sig, terminating(sig));
  report_.steps.push({sig, Target::Group, sent.reached > 0 ? 0 : sent.err, now - teardown_start_});
  tell_refused(sig);
}

// A group signal succeeds when one member was reached: who answered EPERM is found one by one.
void Guard::tell_refused(int sig) {
  if (!killer_) return;
  Vec<ProcStat> members;
  tree().descendants(&members);
  for (const ProcStat& member : members) {
    Fd pidfd(tree().handle(member.pid));
    if (signal_process(pidfd.get(), member.pid, 0) == -EPERM) listener_->on_refused(member.pid, sig);
  }
  listener_->on_refused(0, sig);
}

int Guard::forward(int sig) { return tree().signal_leader(sig, leader_exited_).result(); }

uint64_t Guard::deadline() const {
  uint64_t first = ladder_deadline_;
  if (timeout_deadline_ < first) first = timeout_deadline_;
  if (round_deadline_ < first) first = round_deadline_;
  if (again_deadline_ < first) first = again_deadline_;
  if (held_deadline_ < first) first = held_deadline_;
  if (start_deadline_ < first) first = start_deadline_;
  if (reap_deadline_ < first) first = reap_deadline_;
  return done() ? kNever : first;
}

void Guard::on_deadline(uint64_t now) {
  if (done()) return;
  if (timeout_deadline_ <= now) {
    timeout_deadline_ = kNever;
    begin(Cause::Timeout, false, 0);
  }
  if (held_deadline_ <= now) {
    held_deadline_ = kNever;
    on_leader_dead();
  }
  if (!started_ && reap_deadline_ <= now) on_child();
  if (done()) return;
  if (!started_) return on_start_deadline(now);
  // Before the ladder's own deadline: however short its last wait is, SIGKILL has been sent.
  if (!done() && round_deadline_ <= now) {
    if (box_ == nullptr || box_->kill_round()) tree().kill_round();
    round_deadline_ = now_ns() + round_pause_;
    if (round_pause_ < kLongestPause) round_pause_ *= 2;
    reap();
    if (empty()) finish(true);
  }
  if (ladder_deadline_ <= now) {
    ladder_deadline_ = kNever;
    act(ladder_.on(LadderEvent::Deadline));
  }
  // Last: it moves the next round, which a tree that dies on and on must not put off for ever.
  if (!done() && reap_deadline_ <= now) on_child();
}

}  // namespace procgroup
