// The verbs of treeactor.c that multiply. Each is bounded by a count, by a time, and by what the test sets up.
#ifndef PROCGROUP_TEST_TREEACTOR_MANY_H
#define PROCGROUP_TEST_TREEACTOR_MANY_H

#include "member.h"

#include <stdint.h>
#include <sys/mman.h>
#include <time.h>

static char** args;  // what follows the verb
static char** arg_end;

static int number(int i, int otherwise) { return args + i < arg_end ? atoi(args[i]) : otherwise; }
static const char* word(int i) { return args + i < arg_end ? args[i] : ""; }

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void pause_us(long us) {
  struct timespec pause = {us / 1000000, us % 1000000 * 1000};
  nanosleep(&pause, NULL);
}

static void new_session(void) {
  if (setsid() < 0) die("setsid");
}

// What a test reads of, and tells to, something that multiplies: a file that all of it maps.
struct shared {
  volatile uint32_t stop;
  volatile uint32_t count;  // processes born so far
  volatile uint32_t pause;  // of a bomb: half of the time it took to fill its limit, in microseconds
  volatile uint32_t limit;  // of a bomb: how many there were when a fork was refused for the first time
};

static struct shared* map_shared(const char* path) {
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0 || ftruncate(fd, sizeof(struct shared)) != 0) die(path);
  void* memory = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) die("mmap");
  close(fd);
  return memory;
}

// FILE GENERATIONS PAUSE_US: a detached process forks its successor and exits, again and again, at most GENERATIONS
// times and for 20 seconds.
static void verb_chain(const char* verb) {
  struct shared* shared = map_shared(word(0));
  uint32_t generations = (uint32_t)number(1, 1000);
  long pause = number(2, 0);
  if (start(0) == 0) {
    new_session();
    on(SIGTERM, SIG_IGN);
    int64_t end = now_ms() + 20000;
    say(getpid());
    while (!shared->stop && ++shared->count < generations && now_ms() < end) {
      if (pause) pause_us(pause);
      if (fork() != 0) _exit(0);
    }
    _exit(0);
  }
  ready(verb, 1);
  sleep_for_ever();
}

enum { BOMB_MS = 20000, MOST_FORKS = 30000 };

// FILE LIMIT PAUSE_US: fills the uid's RLIMIT_NPROC with detached processes, and says ready once fork was refused; from
// then on each of them forks whenever the limit lets it, and one refusal of 50 makes a process exit, so that there is
// room for another and the limit stays filled, however slow a fork is. Without a limit that binds it ends itself at
// LIMIT processes.
static void verb_bomb(const char* verb) {
  struct shared* shared = map_shared(word(0));
  int limit = number(1, 100);
  long pause = number(2, 10000);  // after a refusal, at least: see below
  int64_t begin = now_ms(), end = begin + BOMB_MS;
  int go[2];  // the leader alone has the end that writes; its closing is the word
  pid_t leader = getpid();
  int children = 0;
  if (pipe(go) != 0) die("pipe");
  signal(SIGTERM, SIG_IGN);
  while (getpid() == leader) {
    pid_t pid = fork();
    if (pid < 0 && errno == EAGAIN) break;
    if (pid < 0) die("bomb: fork");
    if (pid == 0) {
      alarm(BOMB_MS / 1000);
      if (ready_fd > 2) close(ready_fd);
      close(go[1]);
      null_stdio();
      setsid();
      break;
    }
    if (++children > limit) {
      shared->stop = 1;
      errno = 0;
      die("bomb: the limit refuses no fork");
    }
  }
  if (getpid() == leader) {
    // All of them together ask for the time of two processors, or nobody else would get anywhere where a fork is slow.
    shared->pause = (uint32_t)((now_ms() - begin) * 1000 / 2);
    shared->limit = shared->count = (uint32_t)children;
    ready(verb, 0);
    close(go[1]);
  }
  char word;
  if (read(go[0], &word, 1) != 0) die("bomb: no end of the pipe");
  if (shared->pause > pause) pause = shared->pause;
  uint32_t random = (uint32_t)getpid();
  while (!shared->stop && shared->count < MOST_FORKS && now_ms() < end) {
    pid_t pid = fork();
    if (pid == 0) {
      alarm(BOMB_MS / 1000);
      shared->count++;
      random = (uint32_t)getpid();
    }
    if (pid < 0) {
      pause_us(pause);
      random = random * 1103515245 + 12345;
      if ((random >> 16) % 50 == 0 && getpid() != leader) _exit(0);
    }
    while (waitpid(-1, NULL, WNOHANG) > 0) continue;
  }
  _exit(0);
}

#endif
