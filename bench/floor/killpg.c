/*
 * The floor of a teardown: what killpg and reaping cost a C program.
 *
 *   killpg <members> [rounds]   forks a leader that forks members - 1 sleepers into its group, waits until all sit,
 *                               then times killpg(SIGKILL) until the group is seen empty; prints milliseconds, one
 *                               round a line
 *   killpg --lead <members>     is such a leader itself: forks members - 1 sleepers, prints "ready" and sleeps
 *
 * As a subreaper the timing process is the parent of every member once the leader is dead, so it reaps them itself:
 * the same end state (ESRCH from the group) that a verified teardown waits for.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void sit(void) {
  for (;;) pause();
}

static void lead(int members) {
  for (int i = 1; i < members; i++) {
    pid_t pid = fork();
    if (pid < 0) _exit(71);
    if (pid == 0) {
      prctl(PR_SET_NAME, "member");
      sit();
    }
  }
  if (write(STDOUT_FILENO, "ready\n", 6) != 6) _exit(72);
  sit();
}

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static double round_ms(int members) {
  int ready[2];
  if (pipe(ready)) exit(70);
  pid_t leader = fork();
  if (leader == 0) {
    if (setpgid(0, 0)) _exit(70);
    dup2(ready[1], STDOUT_FILENO);
    close(ready[0]);
    close(ready[1]);
    lead(members);
  }
  close(ready[1]);
  char line[16];
  if (leader < 0 || read(ready[0], line, sizeof line) <= 0) exit(71);
  close(ready[0]);
  double start = now_ms();
  if (killpg(leader, SIGKILL)) exit(73);
  while (waitpid(-leader, NULL, 0) > 0 || errno == EINTR) {
  }
  while (killpg(leader, 0) == 0) waitpid(-1, NULL, 0);
  return now_ms() - start;
}

int main(int argc, char** argv) {
  if (argc == 3 && !strcmp(argv[1], "--lead")) lead(atoi(argv[2]));
  int members = argc > 1 ? atoi(argv[1]) : 1000;
  int rounds = argc > 2 ? atoi(argv[2]) : 5;
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  for (int i = 0; i < rounds; i++) printf("%.3f\n", round_ms(members));
  return 0;
}
