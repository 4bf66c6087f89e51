// A run whose process had children before: `helper & exec procgroup run -- command`, `... > >(logger)`.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli_fds.h"
#include "cli_run.h"
#include "cli_text.h"
#include "core/group.h"
#include "core/spawn.h"

#ifndef __WALL
#define __WALL 0x40000000
#endif

namespace procgroup {
namespace {

constexpr int kFirstOwn = 3;

[[noreturn]] void give_up(const char* what) {
  Text text;
  warn(add_errno(text.add("children that were here before: ").add(what).add(": "), errno));
  _exit(kFailed);
}

// Waits for whoever ends, so that no zombie is left of the others either. Stops with the run, as a shell's job does.
void wait_for(pid_t run, StopSignal* stop) {
  for (;;) {
    siginfo_t info = {};
    Usage unused;
    int r = sys_waitid(P_ALL, 0, &info, WEXITED | WSTOPPED | WNOHANG | __WALL, &unused);
    if (r < 0) _exit(kFailed);
    if (info.si_pid == 0) return;
    if (info.si_pid != run || info.si_code == CLD_TRAPPED) continue;
    if (info.si_code == CLD_EXITED) _exit(info.si_status);
    if (info.si_code != CLD_STOPPED) _exit(kFailed);
    if (!stop->stop(info.si_status)) signal_process(-1, run, SIGCONT);
  }
}

// What reaches a whole group reaches the run as well where it is in ours.
void hand_on(const struct signalfd_siginfo& info, pid_t run, bool same_group, StopSignal* stop) {
  int sig = static_cast<int>(info.ssi_signo);
  if (sig == SIGCHLD) return;
  if (info.ssi_code == SI_KERNEL && (sig == SIGTTIN || sig == SIGTTOU || (same_group && sent_to_groups(sig)))) return;
  if (sig == SIGCONT) stop->discarded();
  signal_process(-1, run, sig);  // our child, which nobody else waits for
}

[[noreturn]] void stay_in_front(pid_t run, bool same_group, int alive) {
  uint64_t all = ~uint64_t{0};
  int signals = static_cast<int>(syscall(SYS_signalfd4, -1, &all, sizeof all, SFD_CLOEXEC | SFD_NONBLOCK));
  signals = move_high(signals, kFirstOwn);
  StopSignal stop;
  if (!same_group) stop.open(signals, kFirstOwn);
  const int own[] = {signals, stop.own_fd(), alive};
  drop_command_descriptors(own, sizeof own / sizeof *own);
  bool unused = chdir("/") == 0;
  (void)unused;
  for (;;) {
    wait_for(run, &stop);
    struct pollfd polled[] = {{signals, POLLIN, 0}, {stop.fd(), POLLIN, 0}};
    uint64_t until = stop.deadline(), now = until == kNever ? 0 : now_ns();
    poll(polled, 2, until == kNever ? -1 : until <= now ? 0 : static_cast<int>((until - now) / 1'000'000) + 1);
    if (polled[1].revents != 0) {
      signal_process(-1, run, SIGTSTP);
      stop.keep(now_ns());
    }
    struct signalfd_siginfo info = {};
    while (read(signals, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
      hand_on(info, run, same_group, &stop);
    }
    if (stop.deadline() <= now_ns()) stop.drop();
  }
}

}  // namespace

Job run_behind(Isolation isolation) {
  bool same_group = isolation == Isolation::Inherit;
  Job job = {getpgrp(), getpid()};
  int alive[2];  // an end of file says that the process in front is dead
  if (pipe2(alive, O_CLOEXEC | O_NONBLOCK) != 0) give_up("pipe2");
  uint64_t all = ~uint64_t{0};
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, nullptr, sizeof all);
  reset_action(SIGCHLD);
  long pid = syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr);
  if (pid < 0) give_up("clone");
  if (pid > 0) {
    close(alive[0]);
    stay_in_front(static_cast<pid_t>(pid), same_group, move_high(alive[1], kFirstOwn));
  }
  close(alive[1]);
  // What is sent to the job's group reaches the command once: from the process in front.
  if (!same_group && setpgid(0, 0) != 0) give_up("setpgid");
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  char none;
  if (read(alive[0], &none, 1) == 0) _exit(kFailed);
  close(alive[0]);
  return job;
}

}  // namespace procgroup
