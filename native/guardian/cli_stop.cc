#include "cli_stop.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/group.h"
#include "core/spawn.h"

namespace procgroup {
namespace {

constexpr uint64_t kTimeToStop = 100'000'000;  // 100 ms: after that a command has a handler, and does not stop

constexpr uint64_t bit(int sig) { return uint64_t{1} << (sig - 1); }

void set_blocked(int sig, bool blocked) {
  uint64_t one = bit(sig);
  syscall(SYS_rt_sigprocmask, blocked ? SIG_BLOCK : SIG_UNBLOCK, &one, nullptr, sizeof one);
}

bool is_pending(uint64_t signals) {
  uint64_t pending = 0;
  syscall(SYS_rt_sigpending, &pending, sizeof pending);
  return (pending & signals) != 0;
}

}  // namespace

void StopSignal::open(int signal_fd, int high_fd) {
  uint64_t stop = bit(SIGTSTP), others = ~stop;
  int fd = static_cast<int>(syscall(SYS_signalfd4, -1, &stop, sizeof stop, SFD_CLOEXEC | SFD_NONBLOCK));
  fd_.reset(move_high(fd, high_fd));
  if (fd_.valid()) syscall(SYS_signalfd4, signal_fd, &others, sizeof others, 0);
}

void StopSignal::keep(uint64_t now) { deadline_ = now + kTimeToStop; }

void StopSignal::drop() {
  struct signalfd_siginfo unused;
  deadline_ = kNever;
  if (read(fd_.get(), &unused, sizeof unused) < 0) return;  // there is none
}

bool StopSignal::stop(int sig) {
  bool pending = kept();
  deadline_ = kNever;
  if (pending || sig == SIGSTOP) sig = SIGTSTP;
  if (!pending) {
    if (is_pending(bit(SIGCONT))) return true;
    // A SIGCONT that comes right now is lost. But nobody else has asked for this stop, so nobody continues us before
    // it.
    signal_process(-1, getpid(), sig);
  }
  // As the kernel takes and gives it; all zero is SIG_DFL.
  unsigned long standard[4] = {}, before[4] = {};
  syscall(SYS_rt_sigaction, sig, standard, before, sizeof(uint64_t));
  set_blocked(sig, false);  // stopped here
  set_blocked(sig, true);
  syscall(SYS_rt_sigaction, sig, before, nullptr, sizeof(uint64_t));
  return is_pending(bit(SIGCONT) | bit(SIGTSTP));
}

}  // namespace procgroup
