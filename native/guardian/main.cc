// procgroup-guardian: the parent of one contained tree.
//   --guard=SOCKET,PIDFD FILE CWD ARGV0 ARGS...   serves an engine; environment and descriptors 0.. are the command's
//   run [options] [--] command [args]             `procgroup run`
//   [options] [--] command [args]                 the same, as a container's entry point
//   --sweep [options] [directory]                 `procgroup sweep`
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "cli_text.h"
#include "serve.h"
#include "sweep.h"

namespace {

constexpr char kGuard[] = "--guard=";

// "SOCKET,PIDFD"; "SOCKET,-" where the supervisor's kernel has no pidfds.
bool parse_pair(const char* text, int* first, int* second) {
  int* values[] = {first, second};
  for (int i = 0; i < 2; i++) {
    if (i == 1 && strcmp(text, "-") == 0) return true;
    if (*text < '0' || *text > '9') return false;
    for (*values[i] = 0; *text >= '0' && *text <= '9' && *values[i] < 100'000'000; text++) {
      *values[i] = *values[i] * 10 + (*text - '0');
    }
    if (*text++ != (i == 0 ? ',' : 0)) return false;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  int socket = -1, supervisor = -1;
  if (argc >= 5 && strncmp(argv[1], kGuard, sizeof kGuard - 1) == 0 &&
      parse_pair(argv[1] + sizeof kGuard - 1, &socket, &supervisor)) {
    procgroup::Command command = {argv[2], argv[3][0] != 0 ? argv[3] : nullptr, argv + 4, argc - 4, environ};
    return procgroup::serve(socket, supervisor, command);
  }
  if (argc >= 2 && strcmp(argv[1], "--sweep") == 0) procgroup::sweep_command(argv + 2);
  bool run = argc >= 2 && strcmp(argv[1], "run") == 0;
  if (run) procgroup::set_program_name("procgroup run");
  procgroup::run_command(argv + (argc == 0 ? 0 : run ? 2 : 1));
}
