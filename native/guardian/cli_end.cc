// How a run ended: its exit status, what is said on stderr, its report.
#include "cli_run.h"
#include "cli_text.h"

#include <errno.h>

namespace procgroup {

int Run::status_of(const Report& report) const {
  if (report.cause == Cause::Timeout) return kTimedOut;
  // By SIGKILL of ours, which came when its exec had just succeeded.
  if (early_signal_ != 0 && exit_.signal == SIGKILL) return 128 + early_signal_;
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
  if (report_file_.wanted()) report_file_.write(report_of(run_end(), report));
}

}  // namespace procgroup
