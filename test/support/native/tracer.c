// A tracer that never waits: tracer exit-stop|no-wait|held PID
//   exit-stop: the tracee, once killed, stops for ever in PTRACE_EVENT_EXIT (/proc shows t); no signal wakes it.
//   no-wait: the tracee, once killed, is a zombie that its own parent cannot wait for.
//   held: the tracee does not run. Its parent hears nothing of that, as it would of a SIGSTOP.
// Prints `ready {json}` once attached. The tracee is let go when this program ends. ptrace(2).
//
// Or one that slows ends down: tracer slow-exit COMM MS command [args]
//   runs the command; whoever descends from it and is called COMM stops for MS milliseconds when it ends. Exits as it
//   did.
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static int is_called(int pid, const char* comm) {
  char path[40], name[32] = "";
  snprintf(path, sizeof path, "/proc/%d/comm", pid);
  FILE* file = fopen(path, "re");
  if (file == NULL) return 0;
  if (fgets(name, sizeof name, file) == NULL) name[0] = 0;
  fclose(file);
  name[strcspn(name, "\n")] = 0;
  return strcmp(name, comm) == 0;
}

static int slow_exit(const char* comm, int ms, char** command) {
  struct {
    int pid;
    long long until;
  } slow[64];
  int count = 0, first = 1;
  int child = fork();
  if (child == 0) {
    raise(SIGSTOP);
    execvp(command[0], command);
    _exit(127);
  }
  int status;
  long options = PTRACE_O_TRACEEXIT | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK;
  if (child < 0 || waitpid(child, &status, WUNTRACED) != child) return 125;
  if (ptrace(PTRACE_SEIZE, child, NULL, (void*)options) != 0) return 124;
  kill(child, SIGCONT);
  alarm(300);
  for (;;) {
    int pid = waitpid(-1, &status, __WALL | WNOHANG);
    if (pid < 0) return 126;
    for (int i = count; i-- > 0;) {
      if (slow[i].until > now_ms()) continue;
      ptrace(PTRACE_CONT, slow[i].pid, NULL, NULL);
      slow[i] = slow[--count];
    }
    if (pid == 0) {
      poll(NULL, 0, 1);
      continue;
    }
    if (WIFEXITED(status) || WIFSIGNALED(status)) {
      if (pid != child) continue;
      return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    int event = status >> 16, sig = WSTOPSIG(status);
    if (event == PTRACE_EVENT_EXIT && is_called(pid, comm) && count < 64) {
      slow[count].pid = pid;
      slow[count++].until = now_ms() + ms;
    } else if (event == PTRACE_EVENT_STOP && sig != SIGTRAP && !first) {
      ptrace(PTRACE_LISTEN, pid, NULL, NULL);
    } else {
      ptrace(PTRACE_CONT, pid, NULL, (void*)(long)(event == 0 ? sig : 0));
    }
    first = 0;
  }
}

int main(int argc, char** argv) {
  if (argc > 4 && strcmp(argv[1], "slow-exit") == 0) return slow_exit(argv[2], atoi(argv[3]), argv + 4);
  int exit_stop = argc > 2 && strcmp(argv[1], "exit-stop") == 0;
  int held = argc > 2 && strcmp(argv[1], "held") == 0;
  if (argc < 3 || (!exit_stop && !held && strcmp(argv[1], "no-wait") != 0)) {
    fprintf(stderr, "usage: tracer exit-stop|no-wait|held PID\n");
    return 125;
  }
  int pid = atoi(argv[2]);
  if (ptrace(PTRACE_SEIZE, pid, NULL, exit_stop ? (void*)PTRACE_O_TRACEEXIT : NULL) != 0) {
    fprintf(stderr, "tracer: PTRACE_SEIZE %d: %s\n", pid, strerror(errno));
    return 124;
  }
  int status;
  if (held && (ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) != 0 || waitpid(pid, &status, __WALL) != pid)) return 123;
  alarm(300);
  printf("ready {\"pid\":%d,\"tracee\":%d}\n", (int)getpid(), pid);
  fflush(stdout);
  for (;;) pause();
}
