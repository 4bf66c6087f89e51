#include <errno.h>
#include <unistd.h>

#include "cli_run.h"
#include "cli_text.h"
#include "options.h"

namespace procgroup {

int print(const char* text, size_t length) {
  while (length > 0) {
    ssize_t n = write(STDOUT_FILENO, text, length);
    if (n < 0 && errno == EPIPE) return 0;
    if (n <= 0) {
      Text line;
      warn(add_errno(line.add("cannot write to stdout: "), n == 0 ? EIO : errno));
      return kFailed;
    }
    text += n, length -= static_cast<size_t>(n);
  }
  return 0;
}

const char* conflict_text(Conflict conflict) {
  switch (conflict) {
    case Conflict::NeedsCgroup:
      return "--cgroup-parent and --limit need --containment cgroup";
    case Conflict::InheritNamespace:
      return "--isolation inherit does not go with --containment namespace";
    case Conflict::InheritGroup:
      return "--isolation inherit does not go with --containment group: that group is procgroup's own";
    default:
      return "no command given";
  }
}

const char* help_text() {
  return R"(Usage: procgroup run [options] [--] command [args]
       procgroup-guardian [options] [--] command [args]

Runs the command as a contained process tree: forwards signals to it, reaps what is orphaned, and when the command ends
takes down what is left. On a terminal it behaves as the shell's own job: Ctrl-C and Ctrl-Z reach the command.

  --isolation KIND      inherit, group or session (group)
  --containment KIND    leader, group or tree: what is taken down (tree); cgroup or namespace: the whole tree, and the
                        kernel keeps it together
  --cgroup-parent DIR   with --containment cgroup: below which directory (our own cgroup)
  --limit FILE=VALUE    with --containment cgroup: memory.max=1G, pids.max=100 ...; may be repeated
  --teardown LADDER     signals and the time each has, SIGKILL follows (TERM:5s); for instance TERM:5s,INT:2s
  --timeout DURATION    take the tree down after that; exit status 124 (none)
  --rewrite FROM:TO     forward TO where FROM is received; FROM: drops it; may be repeated
  --report FILE         write the teardown report as one JSON object
  --help, --version     this text, the version

A duration is a number with ms, s, m or h; a plain number is seconds.
Exit status: the command's; 128+n when signal n ended it; 124 after the timeout; 125 when procgroup itself failed;
126 when the command cannot be executed; 127 when it is not found.
)";
}

}  // namespace procgroup
