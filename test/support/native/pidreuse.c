/*
 * Gives a chosen pid to a stranger, inside a PID namespace of the test's own.
 *
 *   pidreuse <pid> <mode> <log>
 *
 * mode  pid           the stranger has the pid, and the process group of its watcher
 *       group         the stranger has the pid and leads a process group of that number
 *       orphan-group  a process without that pid is the one member of a process group of that number
 *
 * Returns 0 once the stranger is ready, 2 where the number could not be had (somebody still holds it). The stranger
 * appends each signal it receives to the log, one number a line; its watcher appends "killed <n>" or "exited <n>" at
 * its end. Both leave with the namespace. Needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE in the namespace for
 * ns_last_pid. since Linux 3.3.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { kTries = 200 };

static int log_fd;

static void put(const char* word, int number) {
  char line[64];
  int length =
      word[0] ? snprintf(line, sizeof line, "%s %d\n", word, number) : snprintf(line, sizeof line, "%d\n", number);
  if (write(log_fd, line, (size_t)length) != length) _exit(70);
}

/* SIGKILL and SIGSTOP cannot be blocked; every other signal is taken one by one, so none is lost or merged unseen. */
static void take_signals(int ready) {
  sigset_t all;
  sigfillset(&all);
  if (write(ready, "1", 1) != 1) _exit(70);
  close(ready);
  for (;;) {
    int got = sigwaitinfo(&all, NULL);
    if (got > 0) put("", got);
  }
}

static void stranger(const char* mode, int ready) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (!strcmp(mode, "pid")) take_signals(ready);
  if (setpgid(0, 0)) _exit(71);
  if (!strcmp(mode, "group")) take_signals(ready);
  if (fork() == 0) take_signals(ready);
  _exit(0);
}

static int set_last_pid(int pid) {
  char text[16];
  int length = snprintf(text, sizeof text, "%d", pid);
  int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  int ok = write(fd, text, (size_t)length) == length;
  close(fd);
  return ok ? 0 : -1;
}

static pid_t fork_as(int wanted, const char* mode, int ready) {
  for (int i = 0; i < kTries; i++) {
    if (set_last_pid(wanted - 1)) {
      perror("ns_last_pid");
      return -1;
    }
    int gate[2];
    if (pipe2(gate, O_CLOEXEC)) return -1;
    pid_t pid = fork();
    if (pid == 0) {
      char go = 0;
      close(gate[1]);
      if (read(gate[0], &go, 1) != 1) _exit(0);
      close(gate[0]);
      stranger(mode, ready);
    }
    close(gate[0]);
    if (pid == wanted && write(gate[1], "g", 1) == 1) {
      close(gate[1]);
      return pid;
    }
    close(gate[1]);
    if (pid > 0) waitpid(pid, NULL, 0);
  }
  errno = EAGAIN;
  return -1;
}

/* Stays behind as the stranger's parent: a watcher has a session of its own, so no group of the test reaches it. */
static void watch(int wanted, const char* mode, int report) {
  setsid();
  int ready[2];
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  if (pipe2(ready, O_CLOEXEC)) _exit(70);
  pid_t pid = fork_as(wanted, mode, ready[1]);
  close(ready[1]);
  char byte;
  if (pid < 0 || read(ready[0], &byte, 1) != 1) _exit(2);
  if (!strcmp(mode, "orphan-group")) waitpid(pid, NULL, 0);
  int null = open("/dev/null", O_RDWR);
  for (int fd = 0; fd < 3; fd++) dup2(null, fd);
  if (write(report, "1", 1) != 1) _exit(70);
  close(report);
  int status;
  while (waitpid(-1, &status, 0) > 0) {
    if (WIFSIGNALED(status))
      put("killed", WTERMSIG(status));
    else
      put("exited", WEXITSTATUS(status));
  }
  _exit(0);
}

int main(int argc, char** argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: pidreuse <pid> pid|group|orphan-group <log>\n");
    return 64;
  }
  log_fd = open(argv[3], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  int report[2];
  if (log_fd < 0 || pipe2(report, O_CLOEXEC)) {
    perror(argv[3]);
    return 70;
  }
  pid_t watcher = fork();
  if (watcher == 0) {
    close(report[0]);
    watch(atoi(argv[1]), argv[2], report[1]);
  }
  close(report[1]);
  char byte;
  return read(report[0], &byte, 1) == 1 ? 0 : 2;
}
