// One run of the command line: cli.cc has its loop and signals, cli_end.cc what it says of its end.
#pragma once
#include <signal.h>
#include <sys/signalfd.h>

#include "cli_stop.h"
#include "cli_terminal.h"
#include "core/kernel.h"
#include "guard.h"
#include "options.h"
#include "report.h"

namespace procgroup {

constexpr int kTimedOut = 124, kFailed = 125, kNotExecutable = 126, kNotFound = 127;

// What a shell knows of us: our process group, and the process that it waits for where that is another one (else 0).
struct Job {
  pid_t pgid, front;
};

class Run : public GuardListener {
 public:
  // `signal_mask`: the command's.
  Run(const Options& options, uint64_t signal_mask, Job job)
      : options_(options), signal_mask_(signal_mask), job_(job), guard_(this) {}
  int run();

 private:
  void start();
  void wait();
  void on_signals();
  void on_stop_signal();
  void received_early(const struct signalfd_siginfo& info);
  void hand_on_early();
  void received(const struct signalfd_siginfo& info);
  void send(int sig);
  void command_stopped(int sig);
  bool stop_is_pending() const;
  int status_of(const Report& report) const;
  int status_of(const Error& error) const;
  RunEnd run_end() const { return {&options_, placed_.pid, placed_.pgid, limits_hit_, &exit_, status_}; }
  // cli_box.cc
  Error enter_box();
  void box_started();

  void on_started(const Leader& leader) override;
  void on_failed(const Error& error) override;
  void on_exited(const WaitStatus& status) override;
  void on_stopped(int signal) override { stopped_ = signal, halted_ = signal != 0; }
  void on_draining(Cause) override {}
  void on_refused(int, int) override {}
  void on_gone(const Report& report) override;

  const Options& options_;
  uint64_t signal_mask_;
  Job job_;
  Config config_ = {};  // read by the command until its exec
  Guard guard_;
  Terminal terminal_;
  StopSignal stop_signal_;
  ReportFile report_file_;
  WaitStatus exit_;
  uint64_t early_ = 0;    // received before exec: bit n-1 is signal n
  int early_signal_ = 0;  // the one that ended the command before exec
  struct {
    int pid = 0, pgid = 0;
  } placed_;
  uint32_t limits_hit_ = 0;
  int stopped_ = 0;              // the signal that stopped the command, not acted on yet
  bool halted_ = false;          // the command is stopped, as far as we know
  bool stop_requested_ = false;  // a signal that we handed on asks for a stop
  bool translated_ = false;      // and SIGSTOP was handed on for it
  bool owns_terminal_ = false;   // the command has it whenever we do; otherwise only once it has asked for it
  bool timed_out_ = false;
  bool finished_ = false;
  int status_ = kFailed;
};

// For a process that had children before the command. The rest of this run takes place in a child of this process, in a
// group of its own unless the command shares ours; the process that was called hands on signals, stops with its child,
// and exits with its status. Every signal is blocked from here on. Does not come back on failure.
Job run_behind(Isolation isolation);

// The rest of this run takes place in a new PID namespace, of which this process, from here on its child, is init; the
// process that was called stays outside and hands on signals and the exit status. Every signal is blocked from here on:
// what comes meanwhile must not be lost on an init. Returns the mask as it was. Does not come back on failure.
uint64_t become_init();
// Of an init that become_init() has made; -1: none.
int outside_fd();
void tell_outside(int status);
void stop_outside(int sig);  // as the command has stopped: the shell sees it, and fg continues both

}  // namespace procgroup
