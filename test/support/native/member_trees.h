// The verbs of member.c that build a tree.
#ifndef PROCGROUP_TEST_MEMBER_TREES_H
#define PROCGROUP_TEST_MEMBER_TREES_H

#include "member.h"

#include <pthread.h>
#include <sys/mman.h>

static char** args;  // what follows the verb
static char** arg_end;

static int number(int i, int otherwise) { return args + i < arg_end ? atoi(args[i]) : otherwise; }

static void ignore_term_and_sleep(void) {
  on(SIGTERM, SIG_IGN);
  say_and_sleep();
}

// The leader exits 0 on SIGTERM; its child ignores it and holds none of the stdio.
static void verb_grandchild_ignores_term(const char* verb) {
  if (start(0) == 0) ignore_term_and_sleep();
  on(SIGTERM, exit_zero);
  ready(verb, 1);
  sleep_for_ever();
}

// The leader exits 0 at once; its child stays in the group and ignores SIGTERM.
static void verb_leader_exits_first(const char* verb) {
  if (start(0) == 0) ignore_term_and_sleep();
  ready(verb, 1);
  _exit(0);
}

static volatile sig_atomic_t asked;
static void ask(int signo) { asked = signo; }

// [others]: the leader exits at once. Its first child, the first of the members, leaves the group at SIGUSR1 by setsid,
// at SIGUSR2 by setpgid; `others` more stay in it.
static void verb_leaves_later(const char* verb) {
  int others = number(0, 0);
  sigset_t both, none;
  sigemptyset(&none);
  sigemptyset(&both);
  sigaddset(&both, SIGUSR1);
  sigaddset(&both, SIGUSR2);
  sigprocmask(SIG_BLOCK, &both, NULL);
  if (start(0) == 0) {
    on(SIGUSR1, ask);
    on(SIGUSR2, ask);
    say(getpid());
    while (!asked) sigsuspend(&none);
    if ((asked == SIGUSR1 ? setsid() : setpgid(0, 0)) < 0) die("leave");
    sleep_for_ever();
  }
  pid_t pids[16];
  for (int i = 0; i <= others && i < 16; i++) {
    if (i > 0 && start(0) == 0) say_and_sleep();
    if (read(said[0], &pids[i], sizeof pids[i]) != (ssize_t)sizeof pids[i]) die("leaves-later");
  }
  for (int i = 0; i <= others && i < 16; i++) say(pids[i]);
  ready(verb, 1 + others);
  _exit(0);
}

// [code]: the leader exits with code; its child keeps stdout and stderr open.
static void verb_holds_stdout(const char* verb) {
  if (start(1) == 0) say_and_sleep();
  ready(verb, 1);
  _exit(number(0, 0));
}

// The child has stopped itself when ready is printed.
static void verb_stopped_member(const char* verb) {
  pid_t pid = start(0);
  if (pid == 0) {
    say(getpid());
    raise(SIGSTOP);
    sleep_for_ever();
  }
  wait_stopped(pid);
  ready(verb, 1);
  sleep_for_ever();
}

static void await_state(pid_t pid, const char* state) {
  char path[64], text[512] = "";
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  while (!strstr(text, state)) {
    int fd = open(path, O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (n < 0) die(path);
    text[n] = 0;
    close(fd);
  }
}

// A vfork parent whose child is stopped: /proc shows the parent as D. members: parent, child.
static void verb_vfork_parent(const char* verb) {
  if (start(0) > 0) {
    pid_t pids[2];
    for (int i = 0; i < 2; i++) {
      if (read(said[0], &pids[i], sizeof pids[i]) != (ssize_t)sizeof pids[i]) die("vfork-parent");
    }
    await_state(pids[0], ") D ");
    await_state(pids[1], ") T ");
    for (int i = 0; i < 2; i++) say(pids[i]);
    ready(verb, 2);
    sleep_for_ever();
  }
  say(getpid());
  if (vfork() == 0) {
    pid_t self = getpid();
    (void)!write(said[1], &self, sizeof self);
    kill(self, SIGSTOP);
    _exit(0);
  }
  sleep_for_ever();
}

// N children of the leader.
static void verb_wide(const char* verb) {
  int count = number(0, 10);
  for (int i = 0; i < count; i++) {
    if (start(0) == 0) say_and_sleep();
  }
  ready(verb, count);
  sleep_for_ever();
}

// A chain of N descendants, each the child of the one before.
static void verb_deep(const char* verb) {
  int count = number(0, 10);
  pid_t leader = getpid();
  for (int i = 0; i < count && start(0) == 0; i++) {
    say(getpid());
    if (i == count - 1) sleep_for_ever();
  }
  if (getpid() != leader) sleep_for_ever();
  ready(verb, count);
  sleep_for_ever();
}

// The child leaves group and session.
static void verb_setsid(const char* verb) {
  if (start(0) == 0) {
    if (setsid() < 0) die("setsid");
    say_and_sleep();
  }
  ready(verb, 1);
  sleep_for_ever();
}

// The child moves into a group of its own within the session and ignores SIGTERM.
static void verb_setpgid(const char* verb) {
  if (start(0) == 0) {
    if (setpgid(0, 0) != 0) die("setpgid");
    ignore_term_and_sleep();
  }
  ready(verb, 1);
  sleep_for_ever();
}

// daemon(3): fork, setsid, fork; the middle process has exited and is reaped.
static void verb_double_fork(const char* verb) {
  pid_t middle = start(0);
  if (middle == 0) {
    if (setsid() < 0) die("setsid");
    if (start(0) == 0) say_and_sleep();
    _exit(0);
  }
  waitpid(middle, NULL, 0);
  ready(verb, 1);
  sleep_for_ever();
}

// A holder outside of the group has a child inside of it, which it never waits for. members: holder, child.
static void verb_unreaped_member(const char* verb) {
  pid_t group = getpgrp();
  if (start(0) == 0) {
    if (setpgid(0, 0) != 0) die("setpgid");
    say(getpid());
    pid_t child = start(0);
    if (child == 0) {
      if (setpgid(0, group) != 0) die("setpgid back");
      say_and_sleep();
    }
    sleep_for_ever();
  }
  ready(verb, 2);
  sleep_for_ever();
}

static void* say_and_sleep_thread(void* main_thread) {
  pthread_join(*(pthread_t*)main_thread, NULL);
  say_and_sleep();
  return NULL;
}

// The child's main thread has ended (/proc shows Z) and another thread runs on, ignoring SIGTERM.
static void verb_main_thread_ended(const char* verb) {
  if (start(0) == 0) {
    static pthread_t self, other;
    on(SIGTERM, SIG_IGN);
    self = pthread_self();
    if (pthread_create(&other, NULL, say_and_sleep_thread, &self) != 0) die("pthread_create");
    pthread_exit(NULL);
  }
  on(SIGTERM, exit_zero);
  ready(verb, 1);
  sleep_for_ever();
}

// The int at the start of a file, for whoever maps or reads it.
static volatile int* shared(const char* path) {
  int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) die(path);
  void* at = mmap(NULL, sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) die("mmap");
  close(fd);
  return at;
}

// [GENERATIONS [COUNTER]]: a process forks its successor and exits, as fast as it can (some 10,000 a second): no /proc
// scan finds it for certain. The number is bounded, because with a slow init its zombies fill the machine's table of
// pids. The youngest one's is kept in the file COUNTER, which has room for an int.
static void verb_fork_chain(const char* verb) {
  if (start(0) == 0) {
    int generations = number(0, 6000);
    volatile int* counter = args + 1 < arg_end ? shared(args[1]) : &generations;
    on(SIGTERM, SIG_IGN);
    say(getpid());
    for (int i = 0; i < generations; i++) {
      if (fork() != 0) _exit(0);
      if (counter != &generations) *counter = i + 1;
    }
    _exit(0);
  }
  ready(verb, 1);
  sleep_for_ever();
}

#endif
