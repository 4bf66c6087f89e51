#include "cli_terminal.h"

#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cli_fds.h"
#include "core/procfs.h"

namespace procgroup {
namespace {

// struct sigaction as the kernel takes it on both architectures; all zero is SIG_DFL.
struct KernelSigaction {
  unsigned long handler, flags, restorer;
  uint64_t mask;
};

// Refused for SIGSTOP, which needs no setting.
void set_action(int sig, const KernelSigaction& action, KernelSigaction* before) {
  syscall(SYS_rt_sigaction, sig, &action, before, sizeof action.mask);
}

}  // namespace

void Terminal::find(int high_fd) {
  for (int fd = 0; fd <= 2; fd++) {
    if (tcgetpgrp(fd) < 0) continue;  // no terminal, or not ours
    fd_.reset(duplicate(fd, high_fd));
    own_ = getpgrp();
    return;
  }
}

bool Terminal::ours() const { return fd_.valid() && tcgetpgrp(fd_.get()) == own_; }

bool Terminal::hand_to(pid_t pgid) { return tcsetpgrp(fd_.get(), pgid) == 0; }

void Terminal::take_back_from(pid_t pgid) {
  if (fd_.valid() && pgid > 0 && pgid != own_ && tcgetpgrp(fd_.get()) == pgid) hand_to(own_);
}

bool shares_group() {
  pid_t own = getpgrp(), self = getpid();
  if (own == 0) return true;  // a group of an outer PID namespace
  // The shell may not have started the rest of a pipeline yet.
  if (is_pipe(STDIN_FILENO) || is_pipe(STDOUT_FILENO) || is_pipe(STDERR_FILENO)) return true;
  ProcFs proc;
  bool shared = false;
  proc.open(-1);
  proc.scan([&](const ProcStat& other) { shared |= other.pgid == own && other.pid != self && other.alive(); });
  return shared;
}

bool orphaned_group() {
  ProcFs proc;
  pid_t own = getpgrp();
  ProcStat process;
  proc.open(-1);
  for (pid_t pid = getpid(); proc.stat(pid, &process); pid = process.ppid) {
    if (process.pgid != own) return process.sid != getsid(0);
  }
  return true;
}

void stop_self(int sig) {
  KernelSigaction before;
  set_action(sig, {}, &before);
  raise(sig);
  uint64_t one = uint64_t{1} << (sig - 1);
  syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &one, nullptr, sizeof one);  // stopped here
  syscall(SYS_rt_sigprocmask, SIG_BLOCK, &one, nullptr, sizeof one);
  set_action(sig, before, nullptr);
}

void reset_action(int sig) { set_action(sig, {}, nullptr); }

}  // namespace procgroup
