// How a run ended: its exit status, what is said on stderr, its report.
#include "cli_run.h"
#include "cli_text.h"

#include <errno.h>

namespace procgroup {

int Run::status_of(const Error& error) const {
  Text text;
  const char* file = options_.command[0];
  text.printable(*file == 0 ? "''" : file);
  bool exec = error.stage == Stage::Exec || error.stage == Stage::Lookup;
  if (guard_.early_cause() == Cause::Timeout) {
    warn(text.add(": timed out before it was started, at ").add(error.syscall));
    return kTimedOut;
  }
  if (early_signal_ != 0 && error.term_signal != 0) return 128 + early_signal_;
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

}  // namespace procgroup
