// A tracer that never waits: tracer exit-stop|no-wait PID
//   exit-stop: the tracee, once killed, stops for ever in PTRACE_EVENT_EXIT (/proc shows t); no signal wakes it.
//   no-wait: the tracee, once killed, is a zombie that its own parent cannot wait for.
// Prints `ready {json}` once attached. The tracee is let go when this program ends. ptrace(2).
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <unistd.h>

int main(int argc, char** argv) {
  int exit_stop = argc > 2 && strcmp(argv[1], "exit-stop") == 0;
  if (argc < 3 || (!exit_stop && strcmp(argv[1], "no-wait") != 0)) {
    fprintf(stderr, "usage: tracer exit-stop|no-wait PID\n");
    return 125;
  }
  int pid = atoi(argv[2]);
  if (ptrace(PTRACE_SEIZE, pid, NULL, exit_stop ? (void*)PTRACE_O_TRACEEXIT : NULL) != 0) {
    fprintf(stderr, "tracer: PTRACE_SEIZE %d: %s\n", pid, strerror(errno));
    return 124;
  }
  alarm(300);
  printf("ready {\"pid\":%d,\"tracee\":%d}\n", (int)getpid(), pid);
  fflush(stdout);
  for (;;) pause();
}
