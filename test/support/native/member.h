// The ready protocol and process helpers of member.c.
//
// A member prints `ready {json}` only once every process it started is in the state that the verb names. Each of those
// processes says so through a pipe, so no reader has to sleep. The line goes to stdout, or to the descriptor of
// -r FD, which every process then closes, so that it never counts as a pipe held open.
#ifndef PROCGROUP_TEST_MEMBER_H
#define PROCGROUP_TEST_MEMBER_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

// No member outlives a broken test run for longer than this. alarm() is not inherited by fork: each process sets it.
enum { LIFE_SECONDS = 300, MAX_MEMBERS = 4096 };

static int ready_fd = STDOUT_FILENO;
static int said[2];

static void die(const char* what) {
  dprintf(STDERR_FILENO, "member: %s: %s\n", what, strerror(errno));
  _exit(120);
}

static void begin(void) {
  alarm(LIFE_SECONDS);
#ifdef PR_SET_PTRACER
  prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
#endif
  if (pipe2(said, O_CLOEXEC) != 0) die("pipe2");
}

static void null_stdio(void) {
  int fd = open("/dev/null", O_RDWR);
  if (fd < 0) die("/dev/null");
  for (int i = 0; i < 3; i++) dup2(fd, i);
  if (fd > 2) close(fd);
}

// In the parent: the child's pid. In the child: 0, with /dev/null on 0-2 unless it is to hold them.
static pid_t start(int holds_stdio) {
  pid_t pid = fork();
  if (pid < 0) die("fork");
  if (pid > 0) return pid;
  alarm(LIFE_SECONDS);
  if (ready_fd > 2) close(ready_fd);
  if (!holds_stdio) null_stdio();
  return 0;
}

static void say(pid_t pid) {
  if (write(said[1], &pid, sizeof pid) != (ssize_t)sizeof pid) die("say");
}

static void sleep_for_ever(void) {
  for (;;) pause();
}

static void say_and_sleep(void) {
  say(getpid());
  sleep_for_ever();
}

// Waits until `count` processes have spoken, then prints their pids.
static void ready(const char* verb, int count) {
  static pid_t pids[MAX_MEMBERS];
  static char line[MAX_MEMBERS * 8 + 256];
  if (count > MAX_MEMBERS) die("too many members");
  for (int i = 0; i < count; i++) {
    if (read(said[0], &pids[i], sizeof pids[i]) != (ssize_t)sizeof pids[i]) die("ready");
  }
  size_t used = (size_t)sprintf(line, "ready {\"verb\":\"%s\",\"pid\":%d,\"members\":[", verb, (int)getpid());
  for (int i = 0; i < count; i++) used += (size_t)sprintf(line + used, "%s%d", i ? "," : "", (int)pids[i]);
  used += (size_t)sprintf(line + used, "]}\n");
  for (size_t at = 0; at < used;) {
    ssize_t n = write(ready_fd, line + at, used - at);
    if (n < 0) die("write ready");
    at += (size_t)n;
  }
  if (ready_fd > 2) close(ready_fd);
}

static void exit_zero(int signo) {
  (void)signo;
  _exit(0);
}

static void on(int signo, void (*handler)(int)) {
  struct sigaction action = {0};
  action.sa_handler = handler;
  if (sigaction(signo, &action, NULL) != 0) die("sigaction");
}

static void wait_stopped(pid_t pid) {
  int status;
  if (waitpid(pid, &status, WUNTRACED) != pid || !WIFSTOPPED(status)) die("wait_stopped");
}

#endif
