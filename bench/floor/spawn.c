/*
 * The floor of a spawn: vfork, exec, wait, in a loop, on one or more threads, without anything else.
 *
 *   spawn <program> <count> <threads>   prints milliseconds
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char* words[2];
static char* none[1];
static int left;

static void* spawn_all(void* unused) {
  while (__atomic_fetch_sub(&left, 1, __ATOMIC_RELAXED) > 0) {
    int status;
    pid_t pid = vfork();
    if (pid == 0) {
      execve(words[0], words, none);
      _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) exit(70);
  }
  return unused;
}

int main(int argc, char** argv) {
  struct timespec begin, end;
  pthread_t threads[64];
  if (argc != 4) return 64;
  words[0] = argv[1];
  left = atoi(argv[2]);
  int count = atoi(argv[3]);
  if (count < 1 || count > 64) return 64;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  for (int i = 1; i < count; i++) {
    if (pthread_create(&threads[i], NULL, spawn_all, NULL)) return 71;
  }
  spawn_all(NULL);
  for (int i = 1; i < count; i++) pthread_join(threads[i], NULL);
  clock_gettime(CLOCK_MONOTONIC, &end);
  printf("%.3f\n", (double)(end.tv_sec - begin.tv_sec) * 1e3 + (double)(end.tv_nsec - begin.tv_nsec) / 1e6);
  return 0;
}
