// A tracer that never waits: tracer exit-stop|no-wait|held PID
//   exit-stop: the tracee, once killed, stops for ever in PTRACE_EVENT_EXIT (/proc shows t); no signal wakes it.
//   no-wait: the tracee, once killed, is a zombie that its own parent cannot wait for.
//   held: the tracee does not run. Its parent hears nothing of that, as it would of a SIGSTOP.
// Prints `ready {json}` once attached. The tracee is let go when this program ends. ptrace(2).
//
// Or one that keeps the dead: tracer keep-dead command [args]
//   runs the command; each child of it stays a zombie that it cannot wait for, until this program gets SIGUSR1. Exits
//   as it did.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

static int is_child_of(int parent, int pid) {
  char path[40], line[512] = "";
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  FILE* file = fopen(path, "re");
  if (file == NULL) return 0;
  if (fgets(line, sizeof line, file) == NULL) line[0] = 0;
  fclose(file);
  const char* end = strrchr(line, ')');  // of the name, which may hold anything
  int ppid = 0;
  return end != NULL && sscanf(end, ") %*c %d", &ppid) == 1 && ppid == parent;
}

static int tracees[256];
static int count;
static volatile sig_atomic_t let_go;

static void on_signal(int sig) {
  if (sig == SIGUSR1) let_go = 1;
}

static void add(int pid) {
  if (count == 256) _exit(122);  // one that is not listed would stay stopped; the end of this program lets all go on
  tracees[count++] = pid;
}

// The news of one tracee, whom nobody has waited for yet. Not of all at once: a zombie that is kept would hide the
// others.
static int has_news(int tracee, int parent) {
  siginfo_t info = {.si_pid = 0};
  if (waitid(P_PID, (id_t)tracee, &info, WEXITED | WSTOPPED | WNOHANG | WNOWAIT | __WALL) != 0) return -1;
  if (info.si_pid == 0) return 0;
  int ended = info.si_code == CLD_EXITED || info.si_code == CLD_KILLED || info.si_code == CLD_DUMPED;
  return !ended || let_go || !is_child_of(parent, tracee);
}

static int keep_dead(char** command) {
  // Both are let in only while it sleeps: no news are slept through.
  sigset_t news_come, before;
  sigemptyset(&news_come);
  sigaddset(&news_come, SIGCHLD);
  sigaddset(&news_come, SIGUSR1);
  signal(SIGCHLD, on_signal);
  signal(SIGUSR1, on_signal);
  sigprocmask(SIG_BLOCK, &news_come, &before);
  int child = fork();
  if (child == 0) {
    sigprocmask(SIG_SETMASK, &before, NULL);
    raise(SIGSTOP);
    execvp(command[0], command);
    _exit(127);
  }
  int status, first = 1;
  long options = PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK;
  if (child < 0 || waitpid(child, &status, WUNTRACED) != child) return 125;
  if (ptrace(PTRACE_SEIZE, child, NULL, (void*)options) != 0) return 124;
  kill(child, SIGCONT);
  alarm(300);
  add(child);
  for (;;) {
    int news = 0;
    for (int i = count; i-- > 0;) {
      int pid = tracees[i];
      int r = has_news(pid, child);
      if (r == 0) continue;
      news = 1;
      if (r < 0 || waitpid(pid, &status, __WALL | WNOHANG) != pid) status = 0;
      if (WIFEXITED(status) || WIFSIGNALED(status)) {
        tracees[i] = tracees[--count];
        if (pid != child) continue;
        if (r < 0) return 126;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      }
      int event = status >> 16, sig = WSTOPSIG(status);
      unsigned long born;
      int birth = event == PTRACE_EVENT_CLONE || event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK;
      if (birth && ptrace(PTRACE_GETEVENTMSG, pid, NULL, &born) == 0) add((int)born);
      if (event == PTRACE_EVENT_STOP && sig != SIGTRAP && !first)
        ptrace(PTRACE_LISTEN, pid, NULL, NULL);
      else
        ptrace(PTRACE_CONT, pid, NULL, (void*)(long)(event == 0 ? sig : 0));
      first = 0;
    }
    if (!news) sigsuspend(&before);
  }
}

int main(int argc, char** argv) {
  if (argc > 2 && strcmp(argv[1], "keep-dead") == 0) return keep_dead(argv + 2);
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
