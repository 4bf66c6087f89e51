// What the tests put into a process group: one program, many verbs. Usage: member [-r FD] VERB [ARGS].
// `member --verbs` lists them; a test fails where one is used nowhere.
#define _GNU_SOURCE
#include "member.h"

#include <limits.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "member_self.h"
#include "member_trees.h"

static void verb_sleep(const char* verb) {
  ready(verb, 0);
  sleep_for_ever();
}

static void verb_ignore_term(const char* verb) {
  on(SIGTERM, SIG_IGN);
  ready(verb, 0);
  sleep_for_ever();
}

// STDOUT_BYTES STDERR_BYTES [code]: writes them and exits.
static void verb_print(const char* verb) {
  (void)verb;
  char block[65536];
  memset(block, 'x', sizeof block);
  for (int fd = 1; fd <= 2; fd++) {
    for (long left = number(fd - 1, 0); left > 0;) {
      ssize_t n = write(fd, block, left < (long)sizeof block ? (size_t)left : sizeof block);
      if (n < 0) die("print");
      left -= n;
    }
  }
  _exit(number(2, 0));
}

static void verb_exit(const char* verb) {
  (void)verb;
  _exit(number(0, 0));
}

// SIGNAL: dies of it, ignored or not before.
static void verb_die(const char* verb) {
  (void)verb;
  int signo = number(0, SIGTERM);
  if (signo != SIGKILL && signo != SIGSTOP) on(signo, SIG_DFL);
  raise(signo);
  _exit(121);
}

// Copies stdin to stdout until its end.
static void verb_cat(const char* verb) {
  (void)verb;
  char block[65536];
  ssize_t n;
  while ((n = read(0, block, sizeof block)) > 0) {
    for (ssize_t at = 0; at < n;) {
      ssize_t put = write(1, block + at, (size_t)(n - at));
      if (put < 0) die("cat");
      at += put;
    }
  }
  _exit(n < 0 ? 1 : 0);
}

static void verb_close_stdin(const char* verb) {
  close(0);
  ready(verb, 0);
  sleep_for_ever();
}

// Prints `got SIGNAL COUNT` for each SIGTERM, SIGINT, SIGHUP and SIGCONT; exits 0 on SIGUSR1.
static void verb_report_signals(const char* verb) {
  static const int reported[] = {SIGTERM, SIGINT, SIGHUP, SIGCONT, SIGUSR1};
  sigset_t set;
  int counts[65] = {0};
  sigemptyset(&set);
  for (size_t i = 0; i < sizeof reported / sizeof *reported; i++) sigaddset(&set, reported[i]);
  sigprocmask(SIG_BLOCK, &set, NULL);
  ready(verb, 0);
  for (;;) {
    int signo = sigwaitinfo(&set, NULL);
    if (signo == SIGUSR1) _exit(0);
    if (signo > 0) dprintf(1, "got %d %d\n", signo, ++counts[signo]);
  }
}

// Prints `got SIGNAL COUNT` for every signal that can be blocked, the stop signals and real-time signals among them.
static void verb_report_every_signal(const char* verb) {
  sigset_t set;
  int counts[65] = {0};
  sigfillset(&set);
  sigprocmask(SIG_BLOCK, &set, NULL);
  ready(verb, 0);
  for (;;) {
    int signo = sigwaitinfo(&set, NULL);
    if (signo > 0) dprintf(1, "got %d %d\n", signo, ++counts[signo]);
  }
}

// On SIGUSR1 reads a line from stdin, shows it, and exits 0.
static void verb_asks_for_terminal(const char* verb) {
  char line[256];
  int signo;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_BLOCK, &set, NULL);
  ready(verb, 0);
  if (sigwait(&set, &signo) != 0) die("sigwait");
  ssize_t length = read(0, line, sizeof line);
  if (length < 0) die("read");
  dprintf(1, "got:%.*s", (int)length, line);
  exit(0);
}

// MS MIB: uses that much processor time and memory, then exits 0.
static void verb_use(const char* verb) {
  (void)verb;
  struct timespec now;
  size_t bytes = (size_t)number(1, 0) << 20;
  if (prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) != 0) die("prctl");  // a fault for each page
  char* memory = malloc(bytes + 1);
  for (size_t i = 0; i < bytes; i += 4096) ((volatile char*)memory)[i] = 1;
  do {
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  } while (now.tv_sec * 1000 + now.tv_nsec / 1000000 < number(0, 0));
  _exit(0);
}

// Prints what exec gave it, as one JSON object, and exits.
static void verb_self(const char* verb) {
  (void)verb;
  print_self();
  _exit(0);
}

static const struct {
  const char* name;
  void (*run)(const char* verb);
} verbs[] = {
    {"sleep", verb_sleep},
    {"ignore-term", verb_ignore_term},
    {"grandchild-ignores-term", verb_grandchild_ignores_term},
    {"leader-exits-first", verb_leader_exits_first},
    {"leaves-later", verb_leaves_later},
    {"holds-stdout", verb_holds_stdout},
    {"stopped-member", verb_stopped_member},
    {"vfork-parent", verb_vfork_parent},
    {"wide", verb_wide},
    {"deep", verb_deep},
    {"setsid", verb_setsid},
    {"setpgid", verb_setpgid},
    {"double-fork", verb_double_fork},
    {"unreaped-member", verb_unreaped_member},
    {"main-thread-ended", verb_main_thread_ended},
    {"fork-chain", verb_fork_chain},
    {"print", verb_print},
    {"exit", verb_exit},
    {"die", verb_die},
    {"cat", verb_cat},
    {"close-stdin", verb_close_stdin},
    {"report-signals", verb_report_signals},
    {"report-every-signal", verb_report_every_signal},
    {"asks-for-terminal", verb_asks_for_terminal},
    {"use", verb_use},
    {"self", verb_self},
};

int main(int argc, char** argv) {
  self_argv0 = argv[0];
  args = argv + 1;
  if (argc > 3 && strcmp(args[0], "-r") == 0) {
    ready_fd = atoi(args[1]);
    args += 2;
  }
  arg_end = argv + argc;
  const char* name = args[0] ? args[0] : "";
  int list = strcmp(name, "--verbs") == 0;
  for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
    if (list) puts(verbs[i].name);
    if (strcmp(name, verbs[i].name) != 0) continue;
    args++;
    if (strcmp(name, "self") != 0) begin();
    verbs[i].run(name);
  }
  if (list) return 0;
  fprintf(stderr, "member: no such verb: %s\n", name);
  return 122;
}
