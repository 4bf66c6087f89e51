// A command that could not be started: what is said of it.
#include <errno.h>

#include "cli_run.h"
#include "cli_text.h"

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
  if (error.stage == Stage::Cgroup) text.add("cgroup: ");
  size_t limit = static_cast<size_t>(error.index) * 2;
  if (error.stage == Stage::Cgroup && error.index >= 0 && limit < options_.limits.size()) {
    text.printable(options_.limits[limit]).add(": ");
  }
  if (!exec) text.add(error.syscall).add(": ");
  warn(add_errno(text, error.err));
  return exec ? kNotExecutable : kFailed;
}

void Run::on_failed(const Error& error) {
  finished_ = true;
  terminal_.take_back_from(guard_.leader().pid());
  status_ = status_of(error);
  if (report_file_.wanted()) report_file_.write(report_of(run_end(), error));
}

}  // namespace procgroup
