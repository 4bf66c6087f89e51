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

// What the last SIGCONT said, while it is caught.
volatile sig_atomic_t g_woken, g_code, g_sender;

void on_continue(int, siginfo_t* info, void*) {
  g_code = info->si_code;
  g_sender = info->si_pid;
  g_woken = 1;
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

bool StopSignal::stop(int sig, struct signalfd_siginfo* woken) {
  bool pending = kept();
  deadline_ = kNever;
  if (pending || sig == SIGSTOP) sig = SIGTSTP;
  g_woken = 0;
  struct sigaction catching = {}, ignored = {}, standard = {}, continue_before, stop_before;
  catching.sa_sigaction = on_continue;
  catching.sa_flags = SA_SIGINFO;
  sigfillset(&catching.sa_mask);
  ignored.sa_handler = SIG_IGN;
  standard.sa_handler = SIG_DFL;
  sigaction(sig, &standard, &stop_before);
  sigaction(SIGCONT, &catching, &continue_before);
  set_blocked(SIGCONT, false);
  // With none pending we make one. A SIGCONT that comes within this very call is lost: nobody else has asked us to
  // stop, so nobody has reason to continue us before we did. (Not raise(3): it blocks SIGCONT meanwhile.)
  if (!pending) signal_process(-1, getpid(), sig);
  if (g_woken) {
    sigaction(sig, &ignored, nullptr);  // drops what is pending
  } else {
    set_blocked(sig, false);  // stopped here
    set_blocked(sig, true);
  }
  set_blocked(SIGCONT, true);
  sigaction(SIGCONT, &continue_before, nullptr);
  sigaction(sig, &stop_before, nullptr);
  *woken = {};
  woken->ssi_signo = SIGCONT;
  woken->ssi_code = g_code;
  woken->ssi_pid = static_cast<uint32_t>(g_sender);
  return g_woken != 0;
}

}  // namespace procgroup
