// What the tests of containment `tree` put into a tree: members that leave their group, their session, their parent,
// their environment or their uid. Usage: treeactor [-r FD] VERB [ARGS]. Same ready line as member's. `--verbs` lists
// the verbs. Whatever multiplies here is bounded three times: by a count, by a time, and by what the test sets up.
#define _GNU_SOURCE
#pragma GCC diagnostic ignored "-Wunused-function"
#include "member.h"

#include "treeactor_many.h"

static void ignore_term_say_and_sleep(void) {
  on(SIGTERM, SIG_IGN);
  say_and_sleep();
}

static void start_detached(void) {
  if (start(0) == 0) {
    new_session();
    say_and_sleep();
  }
}

static void start_double_forked(void) {
  pid_t middle = start(0);
  if (middle == 0) {
    new_session();
    if (start(0) == 0) ignore_term_say_and_sleep();
    _exit(0);
  }
  waitpid(middle, NULL, 0);
}

// members: one in a session of its own, one double-forked that ignores SIGTERM, one in the leader's group that ignores
// it, one in a group of its own that ignores it.
static void verb_mixed(const char* verb) {
  start_detached();
  start_double_forked();
  if (start(0) == 0) ignore_term_say_and_sleep();
  if (start(0) == 0) {
    if (setpgid(0, 0) != 0) die("setpgid");
    ignore_term_say_and_sleep();
  }
  ready(verb, 4);
  sleep_for_ever();
}

// daemon(3) in a child, which is where libc's middle process exits.
static void verb_daemon(const char* verb) {
  pid_t middle = start(0);
  if (middle == 0) {
    if (daemon(0, 0) != 0) die("daemon");
    alarm(LIFE_SECONDS);
    say_and_sleep();
  }
  waitpid(middle, NULL, 0);
  ready(verb, 1);
  sleep_for_ever();
}

// members: a subreaper in a session of its own, and an orphan that it adopted.
static void verb_subreaper(const char* verb) {
  if (start(0) == 0) {
    new_session();
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) die("subreaper");
    pid_t self = getpid();
    say(self);
    pid_t middle = start(0);
    if (middle == 0) {
      pid_t parent = getpid();
      if (start(0) == 0) {
        new_session();
        while (getppid() == parent) pause_us(200);
        if (getppid() != self) die("not adopted by the subreaper");
        ignore_term_say_and_sleep();
      }
      _exit(0);
    }
    waitpid(middle, NULL, 0);
    sleep_for_ever();
  }
  ready(verb, 2);
  sleep_for_ever();
}

// N children, each in a session of its own.
static void verb_detached_wide(const char* verb) {
  int count = number(0, 10);
  for (int i = 0; i < count; i++) start_detached();
  ready(verb, count);
  sleep_for_ever();
}

// A chain of N descendants, each in a session of its own.
static void verb_detached_deep(const char* verb) {
  int count = number(0, 10);
  pid_t leader = getpid();
  for (int i = 0; i < count && start(0) == 0; i++) {
    new_session();
    say(getpid());
    if (i == count - 1) sleep_for_ever();
  }
  if (getpid() != leader) sleep_for_ever();
  ready(verb, count);
  sleep_for_ever();
}

// PGID: a member that joins that group, of strangers, as setpgid(2) allows within a session.
static void verb_join_group(const char* verb) {
  if (start(0) == 0) {
    if (setpgid(0, number(0, 0)) != 0) die("setpgid");
    say_and_sleep();
  }
  ready(verb, 1);
  sleep_for_ever();
}

static void fork_and_leave(int signo) {
  (void)signo;
  if (fork() > 0) _exit(0);
  alarm(LIFE_SECONDS);
  setsid();
}

// A member that answers each SIGTERM by forking a detached copy of itself. One copy a signal, so it stays one.
static void verb_fork_on_term(const char* verb) {
  if (start(0) == 0) {
    on(SIGTERM, fork_and_leave);
    say(getpid());
    sleep_for_ever();
  }
  ready(verb, 1);
  sleep_for_ever();
}

// Executes PROGRAM VERB FD: the exec'ed process says its pid through FD.
static void start_program(const char* program, const char* name, const char* verb, char** environment) {
  pid_t pid = start(0);
  if (pid != 0) return;
  char fd[16];
  int out = dup(said[1]);  // without FD_CLOEXEC
  if (out < 0) die("dup");
  snprintf(fd, sizeof fd, "%d", out);
  char* argv[] = {(char*)name, (char*)verb, fd, NULL};
  new_session();
  execve(program, argv, environment);
  die(program);
}

// A detached member without an environment, under another name.
static void verb_masked(const char* verb) {
  char* none[] = {NULL};
  start_program("/proc/self/exe", "kworker/0:1", "masked-member", none);
  ready(verb, 1);
  sleep_for_ever();
}

// PROGRAM: a setuid copy of this one, started detached; it becomes root for good.
static void verb_setuid(const char* verb) {
  start_program(word(0), "setuid-member", "setuid-member", environ);
  ready(verb, 1);
  sleep_for_ever();
}

static void say_through(int fd) {
  said[1] = fd;
  say(getpid());
  close(fd);
  sleep_for_ever();
}

static void verb_masked_member(const char* verb) {
  (void)verb;
  prctl(PR_SET_NAME, "kworker/0:1", 0, 0, 0);
  say_through(number(0, -1));
}

static void verb_setuid_member(const char* verb) {
  (void)verb;
  if (setresgid(0, 0, 0) != 0 || setresuid(0, 0, 0) != 0) die("setresuid");
  on(SIGTERM, SIG_IGN);
  say_through(number(0, -1));
}

// Prints `ids UID EUID GID EGID PDEATHSIG [GROUPS...]` as it finds them, then sleeps.
static void verb_identity(const char* verb) {
  uid_t uid, euid, suid;
  gid_t gid, egid, sgid, groups[256];
  int death = -1;
  int count = getgroups(256, groups);
  getresuid(&uid, &euid, &suid);
  getresgid(&gid, &egid, &sgid);
  prctl(PR_GET_PDEATHSIG, &death, 0, 0, 0);
  dprintf(1, "ids %d %d %d %d %d %d %d", (int)uid, (int)euid, (int)suid, (int)gid, (int)egid, (int)sgid, death);
  for (int i = 0; i < count; i++) dprintf(1, " %d", (int)groups[i]);
  dprintf(1, "\n");
  ready(verb, 0);
  sleep_for_ever();
}

static const struct {
  const char* name;
  void (*run)(const char* verb);
  int exec;  // the second half of another verb
} verbs[] = {
    {"mixed", verb_mixed, 0},
    {"daemon", verb_daemon, 0},
    {"subreaper", verb_subreaper, 0},
    {"detached-wide", verb_detached_wide, 0},
    {"detached-deep", verb_detached_deep, 0},
    {"fork-on-term", verb_fork_on_term, 0},
    {"join-group", verb_join_group, 0},
    {"chain", verb_chain, 0},
    {"bomb", verb_bomb, 0},
    {"masked", verb_masked, 0},
    {"setuid", verb_setuid, 0},
    {"identity", verb_identity, 0},
    {"masked-member", verb_masked_member, 1},
    {"setuid-member", verb_setuid_member, 1},
};

int main(int argc, char** argv) {
  args = argv + 1;
  arg_end = argv + argc;
  if (argc > 3 && strcmp(args[0], "-r") == 0) {
    ready_fd = atoi(args[1]);
    args += 2;
  }
  const char* name = args[0] ? args[0] : "";
  int list = strcmp(name, "--verbs") == 0;
  for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
    if (list && !verbs[i].exec) puts(verbs[i].name);
    if (strcmp(name, verbs[i].name) != 0) continue;
    args++;
    begin();
    verbs[i].run(name);
  }
  if (list) return 0;
  fprintf(stderr, "treeactor: no such verb: %s\n", name);
  return 122;
}
