// The command until its exec: the verdict, another attempt where the program was busy, an end before it has begun.
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guard.h"

namespace procgroup {
namespace {

constexpr int kBusyRetries = 6;                // 1, 2, 4 ... 32 ms apart
constexpr uint64_t kFirstRetry = 1'000'000;    // 1 ms
constexpr uint64_t kZombieWait = 500'000'000;  // 500 ms: beyond that a tracer holds what has failed

uint64_t longer(uint64_t a, uint64_t b) { return a > b ? a : b; }

}  // namespace

void Guard::start(const Command& command, const Config& config, uint64_t keep_ignored, int tty, uint64_t signal_mask) {
  session_ = static_cast<Isolation>(config.isolation) == Isolation::Session;
  spared_ = config.isolation == 0 ? config.inherit_pgid : 0;
  ladder_.configure(config.steps, static_cast<size_t>(config.step_count), config.kill_wait_ns);
  kill_wait_ns_ = config.kill_wait_ns;
  killer_ = config.killer != 0;
  Error error = leader_.start(command, config, keep_ignored, tty, high_fd_, signal_mask, box_);
  if (error.failed()) return start_failed(error);
  if (config.timeout_ns != 0) timeout_deadline_ = from_now(config.timeout_ns);
}

bool Guard::hear_verdict() {
  struct pollfd polled = {verdict_fd(), POLLIN, 0};
  if (polled.fd < 0 || poll(&polled, 1, 0) != 1) return started_;
  on_verdict();
  return started_;
}

void Guard::on_verdict() {
  if (verdict_fd() < 0 || !leader_.read_verdict(early_cause_ != Cause::None)) return;
  if (leader_.error().failed()) {
    leader_.close_verdict();
    // It is ending, or has been killed: its zombie is taken, in bounded time, before anybody hears of the failure.
    verdict_read_ = true;
    start_deadline_ = now_ns() + kZombieWait;
    reap();
    if (leader_exited_) start_over();
    return;
  }
  started_ = true;
  start_deadline_ = kNever;
  if (state_ == GuardState::Starting) state_ = GuardState::Running;
  listener_->on_started(leader_);  // the news first: the supervisor waits for it
  if (leader_exited_) {            // its end was seen before its start
    state_ = GuardState::LeaderExited;
    listener_->on_exited(exit_);
  }
  if (early_cause_ != Cause::None) return begin(early_cause_, early_kill_, early_cap_ns_);
  settle();
}

// The failed child is gone. Somebody may still write the program, or a clone elsewhere hold a copy of the writer's
// descriptor until its exec.
void Guard::start_over() {
  verdict_read_ = leader_exited_ = false;
  start_deadline_ = kNever;
  if (leader_.error().err == ETXTBSY && busy_ < kBusyRetries && early_cause_ == Cause::None) {
    again_deadline_ = now_ns() + (kFirstRetry << busy_++);
    return;
  }
  start_failed(leader_.error());
}

void Guard::start_failed(Error error) {
  started_ = true;
  if (error.term_signal != 0 && early_cause_ == Cause::Timeout) {
    error = make_error(ETIMEDOUT, error.stage, syscall_of(error.stage));
  }
  fail(error);
}

// A teardown before exec. Where exec has just succeeded after all, the ladder is the caller's.
void Guard::end_start(Cause cause, bool kill, uint64_t grace_cap_ns) {
  if (hear_verdict()) return;
  if (early_cause_ == Cause::None) early_cause_ = cause;
  early_kill_ |= kill;
  if (grace_cap_ns != 0) early_cap_ns_ = grace_cap_ns;
  if (again_deadline_ != kNever) {  // between two attempts: there is no child
    again_deadline_ = kNever;
    return start_failed(leader_.error());
  }
  if (!leader_exited_) signal_process(-1, leader_.pid(), SIGKILL);  // not reaped yet
  if (start_deadline_ == kNever) start_deadline_ = from_now(longer(kill_wait_ns_, kZombieWait));
}

void Guard::on_start_deadline(uint64_t now) {
  if (again_deadline_ <= now) {
    again_deadline_ = kNever;
    Error error = leader_.start_again();
    if (error.failed()) return start_failed(error);
  }
  if (start_deadline_ > now) return;
  // It cannot die (a tracer, uninterruptible sleep), or its zombie cannot be taken. It has SIGKILL pending, and goes to
  // init with us.
  if (!verdict_read_) leader_.give_up();
  leader_.close_verdict();
  start_failed(leader_.error());
}

}  // namespace procgroup
