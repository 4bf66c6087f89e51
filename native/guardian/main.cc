// procgroup-guardian: the parent of one contained tree. `--guard=SOCKET,PIDFD FILE CWD ARGV0 ARGS...` serves an engine;
// the command's environment and descriptors 0.. are its own.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "serve.h"

int main(int argc, char** argv) {
  int socket = -1, supervisor = -1;
  if (argc >= 5 && sscanf(argv[1], "--guard=%d,%d", &socket, &supervisor) == 2) {
    procgroup::Command command = {argv[2], argv[3][0] != 0 ? argv[3] : nullptr, argv + 4, argc - 4, environ};
    return procgroup::serve(socket, supervisor, command);
  }
  fputs("procgroup-guardian: bad usage\n", stderr);
  return 125;
}
