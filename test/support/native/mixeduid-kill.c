/*
 * A stand-in for `sudo -n kill`: the test installs it setuid root in a folder of its own.
 *
 *   mixeduid-kill <mode> <log> -s <NAME> -- <pid>...
 *
 * mode  work    signals each pid; exit status 1 where one of them could not be signalled, as kill(1)
 *       vanish  each pid is gone before it is signalled
 *       fail    signals nobody, exit status 3
 *       hang    never ends; the supervisor may kill it (its real uid is the supervisor's)
 *       stuck   never ends and runs with root as its real uid too, as sudo does: the supervisor may not kill it
 *
 * Each run appends one line to the log: its pid and its arguments from -s on.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static void hang(void) {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
  for (;;) pause();
}

static int number_of(const char* name) {
  if (!strncmp(name, "SIG", 3)) name += 3;
  for (int i = 1; i < 32; i++)
    if (!strcmp(sigabbrev_np(i) ? sigabbrev_np(i) : "", name)) return i;
  return atoi(name);
}

/* Readable pidfd: the process is dead, or its zombie is gone. */
static void make_vanish(pid_t pid) {
  int fd = (int)syscall(SYS_pidfd_open, pid, 0);
  if (fd < 0) return;
  kill(pid, SIGKILL);
  struct pollfd p = {fd, POLLIN, 0};
  poll(&p, 1, 5000);
  close(fd);
}

static void note(const char* path, int argc, char** argv) {
  char line[4096];
  int length = snprintf(line, sizeof line, "%d", getpid());
  for (int i = 3; i < argc && length < (int)sizeof line - 64; i++)
    length += snprintf(line + length, 64, " %s", argv[i]);
  line[length++] = '\n';
  int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0 || write(fd, line, (size_t)length) != length) _exit(70);
  close(fd);
}

int main(int argc, char** argv) {
  if (argc < 7 || strcmp(argv[3], "-s") || strcmp(argv[5], "--")) return 64;
  const char* mode = argv[1];
  note(argv[2], argc, argv);
  if (!strcmp(mode, "fail")) return 3;
  if (!strcmp(mode, "hang")) hang();
  if (!strcmp(mode, "stuck")) {
    if (setresuid(0, 0, 0)) return 70;
    hang();
  }
  int signal_number = number_of(argv[4]);
  int status = 0;
  for (int i = 6; i < argc; i++) {
    pid_t pid = atoi(argv[i]);
    if (pid <= 1) return 64;
    if (!strcmp(mode, "vanish")) {
      make_vanish(pid);
      fprintf(stderr, "kill: (%d) - No such process\n", pid);
      status = 1;
    } else if (kill(pid, signal_number)) {
      fprintf(stderr, "kill: (%d) - %s\n", pid, strerror(errno));
      status = 1;
    }
  }
  return status;
}
