#include "cli.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli_fds.h"
#include "cli_run.h"
#include "cli_text.h"

#ifndef __WALL
#define __WALL 0x40000000
#endif

namespace procgroup {
namespace {

constexpr int kFirstOwn = 3;  // 0 ... 2 are the command's, also where they are closed
constexpr uint64_t kKillWait = 2'000'000'000;

// Those that were here before the command: exec keeps the caller's. False for PID 1, to which every process belongs.
bool has_children() {
  siginfo_t info = {};
  Usage unused;
  return getpid() != 1 && sys_waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL, &unused) != -ECHILD;
}

}  // namespace

int Run::run() {
  if (options_.report != nullptr) {
    int err = report_file_.open(options_.report, kFirstOwn);
    if (err != 0) {
      Text text;
      warn(add_errno(text.add("cannot open the report ").printable(options_.report).add(": "), err));
      return kFailed;
    }
  }
  int r = guard_.prepare(false, kFirstOwn, options_.scope);
  if (r < 0) {
    on_failed(make_error(-r, Stage::Guardian, "signalfd"));
    return status_;
  }
  // With `inherit` who sent it decides whether the command has it as well: it is read like the others.
  if (options_.isolation != Isolation::Inherit) stop_signal_.open(guard_.signal_fd(), kFirstOwn);
  if (options_.containment != Containment::Tree) {
    Error error = enter_box();
    if (error.failed()) {
      on_failed(error);
      return status_;
    }
  }
  start();
  while (!finished_) wait();
  return status_;
}

void Run::start() {
  // A parent that ignores SIGCHLD is not told how its children end. sigaction(2).
  reset_action(SIGCHLD);
  terminal_.find(kFirstOwn, job_.pgid);
  owns_terminal_ = terminal_.found() && options_.isolation == Isolation::Group && !shares_group(job_.pgid, job_.front);

  config_.isolation = static_cast<int32_t>(options_.isolation);
  config_.parent_death_signal = SIGKILL;
  config_.umask = config_.nice = config_.oom_score_adj = kUnset;
  config_.uid = config_.gid = config_.group_count = -1;
  config_.step_count = options_.step_count;
  for (int i = 0; i < options_.step_count; i++) config_.steps[i] = options_.steps[i];
  config_.kill_wait_ns = kKillWait;
  config_.timeout_ns = options_.timeout_ns;
  Command command = {options_.command[0], nullptr, options_.command, options_.command_count, environ};
  // We have no handlers: every disposition but SIGCHLD's is the one that we were started with, and stays so.
  guard_.start(command, config_, ~uint64_t{0}, owns_terminal_ && terminal_.ours() ? terminal_.fd() : -1, signal_mask_);
}

void Run::wait() {
  enum { kSignals, kVerdict, kMember, kStop, kLeader, kSources };
  struct pollfd polled[kSources] = {
      {guard_.signal_fd(), POLLIN, 0},
      {guard_.verdict_fd(), POLLIN, 0},
      {guard_.watch_fd(), guard_.watch_events(), 0},
      {guard_.verdict_settled() ? stop_signal_.fd() : -1, POLLIN, 0},
      {guard_.leader_fd(), POLLIN, 0},
  };
  uint64_t deadline = guard_.deadline();
  if (stop_signal_.deadline() < deadline) deadline = stop_signal_.deadline();
  uint64_t now = deadline == kNever ? 0 : now_ns();
  uint64_t left = deadline > now ? deadline - now : 0;
  struct timespec timeout = {static_cast<time_t>(left / 1'000'000'000), static_cast<long>(left % 1'000'000'000)};
  ppoll(polled, kSources, deadline == kNever ? nullptr : &timeout, nullptr);
  if (polled[kVerdict].revents != 0) guard_.on_verdict();
  hand_on_early();
  if (polled[kMember].revents != 0) guard_.on_watch();
  if (polled[kStop].revents != 0) on_stop_signal();
  if (polled[kSignals].revents != 0) on_signals();
  if (polled[kLeader].revents != 0) guard_.on_leader_dead();
  if (deadline != kNever || guard_.deadline() != kNever) {
    now = now_ns();
    guard_.on_deadline(now);
    if (stop_signal_.deadline() <= now) stop_signal_.drop();
  }
  if (guard_.state() == GuardState::LeaderExited) guard_.begin(Cause::Stop, false, 0);
}

void Run::on_signals() {
  struct signalfd_siginfo infos[4];
  bool child = false;
  ssize_t n;
  do {
    n = read(guard_.signal_fd(), infos, sizeof infos);
    for (ssize_t i = 0; i < n / static_cast<ssize_t>(sizeof *infos); i++) {
      if (infos[i].ssi_signo == SIGCHLD)
        child = true;
      else if (guard_.verdict_settled())
        received(infos[i]);
      else
        received_early(infos[i]);
    }
  } while (n == sizeof infos);
  if (child) guard_.on_child();
  hand_on_early();  // its start may have been heard meanwhile, and nothing else would wake us
  int stopped = stopped_;
  stopped_ = 0;
  if (stopped != 0 && !guard_.leader_exited()) command_stopped(stopped);
}

// It stays pending until the command has stopped as well.
void Run::on_stop_signal() {
  struct signalfd_siginfo info = {};
  info.ssi_signo = SIGTSTP;
  bool before = stop_requested_;
  stop_requested_ = false;
  received(info);
  if (stop_requested_)
    stop_signal_.keep(now_ns());
  else
    stop_signal_.drop();
  stop_requested_ |= before;
  if (stop_signal_.kept() && halted_) command_stopped(SIGTSTP);  // no more news of it will come
}

// Before exec there is nobody to hand a signal on to. One that would end the command ends what is to become it, and
// waits for nobody: its exec may never come back. The others wait for it.
void Run::received_early(const struct signalfd_siginfo& info) {
  int sig = static_cast<int>(info.ssi_signo);
  int target = options_.rewrite[sig];
  bool ends = target == SIGTERM || target == SIGINT || target == SIGQUIT || target == SIGHUP;
  if (ends && !is_ignored(target)) {
    if (guard_.hear_verdict()) {  // exec has just succeeded
      hand_on_early();
      return received(info);
    }
    early_signal_ = target;
    return guard_.begin(Cause::Stop, false, 0);
  }
  // What the terminal or the kernel has to say is not for a command that is not there.
  if (info.ssi_code != SI_KERNEL) early_ |= uint64_t{1} << (sig - 1);
}

void Run::hand_on_early() {
  if (!guard_.verdict_settled()) return;
  for (int sig = 1; early_ != 0; sig++, early_ >>= 1) {
    struct signalfd_siginfo info = {};
    info.ssi_signo = static_cast<uint32_t>(sig);
    if (early_ & 1) received(info);
  }
}

void Run::received(const struct signalfd_siginfo& info) {
  int sig = static_cast<int>(info.ssi_signo);
  if (info.ssi_code == SI_USER && info.ssi_pid == static_cast<uint32_t>(getpid())) return;  // our own broken pipe
  pid_t pgid = guard_.leader().pgid();
  // Continued by a shell that gave us the terminal: the command gets it before it runs on.
  if (sig == SIGCONT && owns_terminal_ && terminal_.ours()) terminal_.hand_to(pgid);
  if (info.ssi_code == SI_KERNEL) {
    if (sig == SIGTTIN || sig == SIGTTOU) return;  // for a member of our own group, which used the terminal
    if (options_.isolation == Isolation::Inherit && sent_to_groups(sig) &&
        getpgid(guard_.leader().pid()) == getpgrp()) {
      stop_requested_ |= stops(sig);
      return;  // the command has it as well
    }
  }
  int target = options_.rewrite[sig];
  // A session leader's own group is orphaned: the kernel ignores the other stop signals there.
  if (target == sig && stops(sig) && options_.isolation == Isolation::Session) {
    target = SIGSTOP;
    translated_ = true;
  }
  if (sig == SIGCONT) {
    stop_requested_ = translated_ = false;
    stop_signal_.discarded();
  }
  stop_requested_ |= stops(target);
  if (target != 0) send(target);
}

void Run::send(int sig) {
  int r = guard_.forward(sig);
  if (r == 0 || r == -ESRCH) return;
  Text text;
  warn(add_errno(add_signal(text, sig).add(" was not forwarded: "), -r));
}

// In the command, which is stopped: it has not acted on it.
bool Run::stop_is_pending() const {
  ProcFs proc;
  return proc.open(-1) ? proc.is_pending(guard_.leader().pid(), SIGTSTP) : stop_signal_.kept();
}

// What a shell does for a job, one level down.
void Run::command_stopped(int sig) {
  pid_t pgid = guard_.leader().pgid();
  bool used_terminal = sig == SIGTTIN || sig == SIGTTOU;
  // A Ctrl-Z that came while it asked for the terminal: the SIGCONT that goes with the terminal would discard it.
  if (used_terminal && stop_requested_ && stop_is_pending()) {
    sig = SIGTSTP;
    used_terminal = false;
  }
  if (used_terminal && options_.isolation == Isolation::Group && terminal_.ours()) {
    owns_terminal_ = terminal_.hand_to(pgid);
    if (owns_terminal_) send(SIGCONT);
    return;
  }
  if (used_terminal && outside_fd() >= 0) return stop_outside(sig);
  if (!terminal_.found() && !stop_requested_) return;
  bool by_us = translated_ || sig == SIGTSTP;
  stop_requested_ = translated_ = false;
  bool had_terminal = terminal_.take_back_from(pgid);
  if (stop_signal_.stop(sig)) return;
  if (had_terminal) terminal_.hand_to(pgid);
  if (by_us) send(SIGCONT);
}

void Run::on_started(const Leader& leader) {
  placed_ = {leader.pid(), leader.pgid()};
  if (guard_.box() != nullptr) box_started();
  guard_.release_start();  // first: its descriptor is not among our own
  int own[6 + kBoxFds] = {guard_.signal_fd(), stop_signal_.own_fd(), guard_.leader().pidfd(),
                          terminal_.fd(),     report_file_.fd(),     -1};
  size_t boxed = guard_.box() != nullptr ? guard_.box()->descriptors(own + 6) : 0;
  if (options_.containment == Containment::Namespace) own[5] = outside_fd();
  drop_command_descriptors(own, 6 + boxed);
  if (!report_file_.waits_for_reader() && chdir("/") != 0) return;
}

void Run::on_exited(const WaitStatus& status) {
  exit_ = status;
  if (guard_.box() != nullptr) limits_hit_ = guard_.box()->limits_hit();
  terminal_.take_back_from(guard_.leader().pgid());
}

void run_command(char** argv) {
  Options options;
  int status = parse_options(argv, &options);
  if (status != kGoOn) _exit(status);
  bool init = options.containment == Containment::Namespace;
  uint64_t mask = 0;
  if (init)
    mask = become_init();
  else
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, nullptr, &mask, sizeof mask);
  Job job = {getpgrp(), 0};
  if (!init && options.scope == Scope::Tree && has_children()) job = run_behind(options.isolation);
  Run run(options, mask, job);
  status = run.run();
  if (init) tell_outside(status);
  _exit(status);  // nothing is left to destroy that the kernel does not
}

}  // namespace procgroup
