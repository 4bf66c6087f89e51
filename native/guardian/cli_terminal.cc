#include "cli_terminal.h"

#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cli_fds.h"
#include "core/procfs.h"

namespace procgroup {
void Terminal::find(int high_fd, pid_t own) {
  for (int fd = 0; fd <= 2; fd++) {
    if (tcgetpgrp(fd) < 0) continue;  // no terminal, or not ours
    fd_.reset(duplicate(fd, high_fd));
    own_ = own;
    return;
  }
}

bool Terminal::ours() const {
  return fd_.valid() && tcgetpgrp(fd_.get()) == own_ && (own_ != 0 || in_foreground_outside());
}

bool Terminal::hand_to(pid_t pgid) { return tcsetpgrp(fd_.get(), pgid) == 0; }

bool Terminal::take_back_from(pid_t pgid) {
  return fd_.valid() && pgid > 0 && pgid != own_ && tcgetpgrp(fd_.get()) == pgid && hand_to(own_);
}

bool shares_group(pid_t own, pid_t front) {
  pid_t self = getpid();
  if (own == 0) return true;  // a group of an outer PID namespace
  // The shell may not have started the rest of a pipeline yet.
  if (is_pipe(STDIN_FILENO) || is_pipe(STDOUT_FILENO) || is_pipe(STDERR_FILENO)) return true;
  ProcFs proc;
  bool shared = false;
  proc.open(-1);
  proc.scan([&](const ProcStat& other) {
    shared |= other.pgid == own && other.pid != self && other.pid != front && other.alive();
  });
  return shared;
}

bool stops(int sig) { return sig == SIGSTOP || sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU; }

bool sent_to_groups(int sig) {
  bool hangup = sig == SIGHUP || sig == SIGCONT;  // a session's leader gets these alone
  return sig == SIGINT || sig == SIGQUIT || sig == SIGWINCH || stops(sig) || (hangup && getsid(0) != getpid());
}

// The raw call, with a struct sigaction of the kernel that is all zero.
void reset_action(int sig) {
  const unsigned long standard[4] = {};
  syscall(SYS_rt_sigaction, sig, standard, nullptr, sizeof(uint64_t));
}

bool is_ignored(int sig) {
  unsigned long action[4] = {};
  syscall(SYS_rt_sigaction, sig, nullptr, action, sizeof(uint64_t));
  return action[0] == 1;  // SIG_IGN
}

}  // namespace procgroup
