/*
 * Members of one process group under different uids. Starts as root.
 *
 *   mixeduid start <uid>          a leader under <uid> and a member that stays root, in a new group; prints
 *                                 "<pgid> <leader> <member>"
 *   mixeduid join <pgid>          puts itself, as root, into a group of its own session; prints "<pid>"
 *   mixeduid wander               installed setuid root: becomes root, moves to its parent's group, prints "ready {}",
 *                                 and exits 7 when its stdin ends
 *   mixeduid apart                as wander, in a group of its own
 *
 * `start` stays as the parent of both: it reaps them, prints "ended <pid> <signal|0>" for each, and ends with the
 * last one, or kills both when its stdin ends. A joiner ends when its stdin ends. SIGTERM kills leader and joiner.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

static int fail(const char* what) {
  fprintf(stderr, "mixeduid: %s: %s\n", what, strerror(errno));
  return 70;
}

static void sit(void) {
  for (;;) pause();
}

static pid_t member(pid_t pgid, int uid, int ready) {
  pid_t pid = fork();
  if (pid != 0) return pid;
  if (setpgid(0, pgid)) _exit(fail("setpgid"));
  if (uid > 0 && (setresgid((gid_t)uid, (gid_t)uid, (gid_t)uid) || setresuid((uid_t)uid, (uid_t)uid, (uid_t)uid)))
    _exit(fail("setresuid"));
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  if (write(ready, "1", 1) != 1) _exit(70);
  close(ready);
  sit();
  return 0;
}

static pid_t ready_member(pid_t pgid, int uid) {
  int ready[2];
  if (pipe(ready)) return -1;
  pid_t pid = member(pgid, uid, ready[1]);
  close(ready[1]);
  char byte;
  if (read(ready[0], &byte, 1) != 1) return -1;
  close(ready[0]);
  return pid;
}

static int start(int uid) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  sigprocmask(SIG_BLOCK, &set, NULL);
  int ended = signalfd(-1, &set, SFD_CLOEXEC);
  pid_t leader = ready_member(0, uid);
  pid_t other = leader < 0 ? -1 : ready_member(leader, 0);
  if (ended < 0 || other < 0) return fail("start");
  printf("%d %d %d\n", leader, leader, other);
  fflush(stdout);
  for (int left = 2; left > 0;) {
    struct pollfd fds[2] = {{ended, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    if (poll(fds, 2, -1) < 0 && errno != EINTR) return fail("poll");
    if (fds[1].revents) {
      kill(other, SIGKILL);
      kill(leader, SIGKILL);
    }
    if (fds[0].revents) {
      struct signalfd_siginfo info;
      if (read(ended, &info, sizeof info) < 0) return fail("read");
    }
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, fds[1].revents ? 0 : WNOHANG)) > 0) {
      printf("ended %d %d\n", pid, WIFSIGNALED(status) ? WTERMSIG(status) : 0);
      fflush(stdout);
      left--;
    }
  }
  return 0;
}

static int join(pid_t pgid) {
  if (setpgid(0, pgid)) return fail("setpgid");
  printf("%d\n", getpid());
  fflush(stdout);
  char byte;
  while (read(STDIN_FILENO, &byte, 1) > 0) {
  }
  return 0;
}

static int wander(pid_t pgid) {
  if (setresuid(0, 0, 0)) return fail("setresuid");
  if (setpgid(0, pgid)) return fail("setpgid");
  puts("ready {}");
  fflush(stdout);
  char byte;
  while (read(STDIN_FILENO, &byte, 1) > 0) {
  }
  return 7;
}

int main(int argc, char** argv) {
  if (argc == 2 && !strcmp(argv[1], "wander")) return wander(getpgid(getppid()));
  if (argc == 2 && !strcmp(argv[1], "apart")) return wander(0);
  if (argc == 3 && !strcmp(argv[1], "start")) return start(atoi(argv[2]));
  if (argc == 3 && !strcmp(argv[1], "join")) return join(atoi(argv[2]));
  fprintf(stderr, "usage: mixeduid start <uid> | join <pgid> | wander | apart\n");
  return 64;
}
