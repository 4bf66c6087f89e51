#include "cli.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cli_fds.h"
#include "cli_terminal.h"
#include "cli_text.h"
#include "core/kernel.h"
#include "guard.h"
#include "options.h"
#include "report.h"

namespace procgroup {
namespace {

constexpr int kTimedOut = 124, kFailed = 125, kNotExecutable = 126, kNotFound = 127;
constexpr int kFirstOwn = 3;  // 0 ... 2 are the command's, also where they are closed
constexpr uint64_t kKillWait = 2'000'000'000;

bool stops(int sig) { return sig == SIGSTOP || sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU; }

// What the terminal sends to its whole foreground group, or the kernel to a group that becomes orphaned.
bool sent_to_groups(int sig) {
  bool hangup = sig == SIGHUP || sig == SIGCONT;  // a session's leader gets these alone
  return sig == SIGINT || sig == SIGQUIT || sig == SIGWINCH || stops(sig) || (hangup && getsid(0) != getpid());
}

class Run : public GuardListener {
 public:
  explicit Run(const Options& options) : options_(options), guard_(this) {}
  int run();

 private:
  void start(uint64_t signal_mask);
  void wait();
  void on_signals();
  void received(const struct signalfd_siginfo& info);
  void send(int sig);
  void command_stopped(int sig);
  int status_of(const Report& report) const;
  int status_of(const Error& error) const;

  void on_started(const Leader& leader) override;
  void on_failed(const Error& error) override;
  void on_exited(const WaitStatus& status) override;
  void on_stopped(int signal) override { stopped_ = signal; }
  void on_draining(Cause) override {}
  void on_refused(int, int) override {}
  void on_gone(const Report& report) override;

  const Options& options_;
  Config config_ = {};  // read by the command until its exec
  Guard guard_;
  Terminal terminal_;
  ReportFile report_file_;
  WaitStatus exit_;
  int stopped_ = 0;              // the signal that stopped the command, not acted on yet
  bool stop_requested_ = false;  // a signal that we handed on asks for a stop
  bool owns_terminal_ = false;   // the command has it whenever we do; otherwise only once it has asked for it
  bool timed_out_ = false;
  bool finished_ = false;
  int status_ = kFailed;
};

int Run::run() {
  if (options_.report != nullptr) {
    int err = report_file_.open(options_.report, kFirstOwn);
    if (err != 0) {
      Text text;
      warn(add_errno(text.add("cannot open the report ").printable(options_.report).add(": "), err));
      return kFailed;
    }
  }
  uint64_t mask = 0;
  syscall(SYS_rt_sigprocmask, SIG_BLOCK, nullptr, &mask, sizeof mask);
  int r = guard_.prepare(false, kFirstOwn, options_.scope);
  if (r < 0) {
    on_failed(make_error(-r, Stage::Guardian, "signalfd"));
    return status_;
  }
  start(mask);
  while (!finished_) wait();
  return status_;
}

void Run::start(uint64_t signal_mask) {
  // A parent that ignores SIGCHLD is not told how its children end. sigaction(2).
  reset_action(SIGCHLD);
  terminal_.find(kFirstOwn);
  owns_terminal_ = terminal_.found() && options_.isolation == Isolation::Group && !shares_group();

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
  guard_.start(command, config_, ~uint64_t{0}, owns_terminal_ && terminal_.ours() ? terminal_.fd() : -1, signal_mask);
}

// Until exec has succeeded or failed its verdict is awaited, and signals wait in the kernel; then signals.
void Run::wait() {
  bool started = guard_.verdict_settled();
  struct pollfd polled[3] = {{started                   ? guard_.signal_fd()
                              : guard_.starting_again() ? -1
                                                        : guard_.verdict_fd(),
                              POLLIN, 0},
                             {guard_.watch_fd(), POLLIN, 0},
                             {guard_.leader_fd(), POLLIN, 0}};
  uint64_t deadline = guard_.deadline();
  uint64_t now = deadline == kNever ? 0 : now_ns();
  uint64_t left = deadline > now ? deadline - now : 0;
  struct timespec timeout = {static_cast<time_t>(left / 1'000'000'000), static_cast<long>(left % 1'000'000'000)};
  ppoll(polled, 3, deadline == kNever ? nullptr : &timeout, nullptr);
  if (polled[1].revents != 0) guard_.on_child();
  if (polled[0].revents != 0) {
    if (started)
      on_signals();
    else
      guard_.on_verdict();
    if (!started && guard_.verdict_settled()) guard_.release_start();
  }
  if (polled[2].revents != 0) guard_.on_leader_dead();
  if (deadline != kNever || guard_.deadline() != kNever) guard_.on_deadline(now_ns());
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
      else
        received(infos[i]);
    }
  } while (n == sizeof infos);
  if (child) guard_.on_child();
  int stopped = stopped_;
  stopped_ = 0;
  if (stopped != 0 && !guard_.leader_exited()) command_stopped(stopped);
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
  if (target == sig && stops(sig) && options_.isolation == Isolation::Session) target = SIGSTOP;
  stop_requested_ |= stops(target);
  if (target != 0) send(target);
}

void Run::send(int sig) {
  int r = guard_.forward(sig);
  if (r == 0 || r == -ESRCH) return;
  Text text;
  warn(add_errno(add_signal(text, sig).add(" was not forwarded: "), -r));
}

// What a shell does for a job, one level down.
void Run::command_stopped(int sig) {
  pid_t pgid = guard_.leader().pgid();
  bool used_terminal = sig == SIGTTIN || sig == SIGTTOU;
  if (used_terminal && options_.isolation == Isolation::Group && terminal_.ours()) {
    owns_terminal_ = terminal_.hand_to(pgid);
    if (owns_terminal_) send(SIGCONT);
    return;
  }
  if (!terminal_.found() && !stop_requested_) return;
  stop_requested_ = false;
  if (orphaned_group()) {
    if (sig == SIGTSTP) send(SIGCONT);
    return;
  }
  terminal_.take_back_from(pgid);
  stop_self(sig);
}

void Run::on_started(const Leader&) {
  const int own[] = {guard_.signal_fd(), guard_.leader().pidfd(), terminal_.fd(), report_file_.fd()};
  drop_command_descriptors(own, sizeof own / sizeof *own);
  if (!report_file_.waits_for_reader() && chdir("/") != 0) return;
}

void Run::on_exited(const WaitStatus& status) {
  exit_ = status;
  terminal_.take_back_from(guard_.leader().pgid());
}

int Run::status_of(const Error& error) const {
  Text text;
  const char* file = options_.command[0];
  text.printable(*file == 0 ? "''" : file);
  bool exec = error.stage == Stage::Exec || error.stage == Stage::Lookup;
  if (error.term_signal != 0) {
    warn(text.add(": killed before it was started"));
    return kFailed;
  }
  if (exec && error.err == ENOENT) {
    warn(text.add(error.index == -2 ? ": its interpreter was not found" : ": command not found"));
    return kNotFound;
  }
  text.add(exec ? ": cannot execute: " : ": cannot be started: ");
  if (!exec) text.add(error.syscall).add(": ");
  warn(add_errno(text, error.err));
  return exec ? kNotExecutable : kFailed;
}

void Run::on_failed(const Error& error) {
  finished_ = true;
  terminal_.take_back_from(guard_.leader().pid());
  status_ = status_of(error);
  if (report_file_.wanted()) report_file_.write(report_of({&options_, &guard_.leader(), &exit_, status_}, error));
}

int Run::status_of(const Report& report) const {
  if (report.cause == Cause::Timeout) return kTimedOut;
  if (exit_.ready) return exit_.signal != 0 ? 128 + exit_.signal : exit_.code;
  Text text;
  warn(text.add("the exit status of the command is unknown"));
  return kFailed;
}

void Run::on_gone(const Report& report) {
  finished_ = true;
  status_ = status_of(report);
  for (const SurvivorRecord& survivor : report.survivors) {
    char state[] = {survivor.stat.state, 0};
    Text text;
    text.add(survivor.stat.pid).add(" (").printable(survivor.stat.comm).add(") survived, state ").add(state);
    if (survivor.held_by_tracer)
      text.add(", held by its tracer");
    else if (survivor.err != 0)
      add_errno(text.add(", "), survivor.err);
    else if (survivor.wchan[0] != 0)
      text.add(", in ").add(survivor.wchan);
    warn(text);
  }
  if (report_file_.wanted()) report_file_.write(report_of({&options_, &guard_.leader(), &exit_, status_}, report));
}

}  // namespace

void run_command(char** argv) {
  Options options;
  int status = parse_options(argv, &options);
  if (status != kGoOn) _exit(status);
  Run run(options);
  _exit(run.run());  // nothing is left to destroy that the kernel does not
}

}  // namespace procgroup
