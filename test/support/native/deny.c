// Runs a program under a seccomp filter that makes the listed system calls fail, for it and all its descendants:
//   deny setsid:EPERM,clone3:ENOSYS,pidfd_send_signal/group:EINVAL,epoll_ctl/fd=4102:ENOMEM -- command [args]
// A name with a suffix is denied only where one argument fits: the filter sees register values, not memory.
// seccomp(2), since Linux 3.5 by prctl.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_clone3
#define SYS_clone3 435
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#else
#error "unknown architecture"
#endif

enum test { ALWAYS, EQUAL, BIT };

// value: what argument `index` is compared with (its low 32 bits), or the bits any of which it must have.
static const struct {
  const char* name;
  int number;
  enum test test;
  int index;
  unsigned value;
} calls[] = {
    {"setsid", SYS_setsid, ALWAYS, 0, 0},
    {"setpgid", SYS_setpgid, ALWAYS, 0, 0},
    {"clone3", SYS_clone3, ALWAYS, 0, 0},
    {"clone/pidfd", SYS_clone, BIT, 0, 0x1000},           // CLONE_PIDFD, since Linux 5.2
    {"clone/vfork", SYS_clone, BIT, 0, 0x4000},           // CLONE_VFORK
    {"clone/namespaces", SYS_clone, BIT, 0, 0x7e020000},  // CLONE_NEW*, as container runtimes deny them
    {"mount", SYS_mount, ALWAYS, 0, 0},
    {"mkdirat", SYS_mkdirat, ALWAYS, 0, 0},
    {"close_range", SYS_close_range, ALWAYS, 0, 0},
    {"close_range/unshare", SYS_close_range, BIT, 2, 2},
    {"pidfd_open", SYS_pidfd_open, ALWAYS, 0, 0},
    {"pidfd_send_signal", SYS_pidfd_send_signal, ALWAYS, 0, 0},
    {"pidfd_send_signal/group", SYS_pidfd_send_signal, EQUAL, 3, 4},  // PIDFD_SIGNAL_PROCESS_GROUP, since Linux 6.9
    {"waitid/pidfd", SYS_waitid, EQUAL, 0, 3},                        // P_PIDFD, since Linux 5.4
    {"chdir", SYS_chdir, ALWAYS, 0, 0},
    {"dup3", SYS_dup3, ALWAYS, 0, 0},
    {"prctl/pdeathsig", SYS_prctl, EQUAL, 0, 1},   // PR_SET_PDEATHSIG
    {"epoll_ctl/fd", SYS_epoll_ctl, EQUAL, 2, 0},  // with =NUMBER: of that descriptor
};

static const struct {
  const char* name;
  unsigned value;
} errors[] = {{"EPERM", EPERM},   {"ENOSYS", ENOSYS}, {"EINVAL", EINVAL}, {"EACCES", EACCES}, {"EAGAIN", EAGAIN},
              {"EMFILE", EMFILE}, {"ENOMEM", ENOMEM}, {"ENFILE", ENFILE}, {"EIO", EIO},       {"EDQUOT", EDQUOT}};

static struct sock_filter program[256];
static unsigned short used;

static void add(unsigned short code, unsigned char jt, unsigned char jf, unsigned k) {
  if (used == sizeof program / sizeof *program) exit(125);
  program[used++] = (struct sock_filter){code, jt, jf, k};
}

static void load(size_t offset) { add(BPF_LD | BPF_W | BPF_ABS, 0, 0, (unsigned)offset); }

static void fail(const char* what) {
  fprintf(stderr, "deny: %s: %s\n", what, strerror(errno));
  exit(125);
}

static void deny(char* name, const char* error) {
  size_t call = 0, e = 0;
  char* number = strchr(name, '=');
  if (number) *number++ = 0;
  errno = EINVAL;
  while (call < sizeof calls / sizeof *calls && strcmp(calls[call].name, name) != 0) call++;
  if (call == sizeof calls / sizeof *calls) fail(name);
  while (e < sizeof errors / sizeof *errors && strcmp(errors[e].name, error) != 0) e++;
  if (e == sizeof errors / sizeof *errors) fail(error);
  int conditional = calls[call].test != ALWAYS;
  load(offsetof(struct seccomp_data, nr));
  add(BPF_JMP | BPF_JEQ | BPF_K, 0, conditional ? 3 : 1, (unsigned)calls[call].number);
  if (conditional) {
    load(offsetof(struct seccomp_data, args) + 8 * (size_t)calls[call].index);
    add(BPF_JMP | (calls[call].test == BIT ? BPF_JSET : BPF_JEQ) | BPF_K, 0, 1,
        number ? (unsigned)atoi(number) : calls[call].value);
  }
  add(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | errors[e].value);
}

int main(int argc, char** argv) {
  if (argc < 4 || strcmp(argv[2], "--") != 0) {
    fprintf(stderr, "usage: deny CALL:ERRNO,... -- command [args]\n");
    return 125;
  }
  load(offsetof(struct seccomp_data, arch));
  add(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, ARCH);
  add(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW);
  for (char* item = strtok(argv[1], ","); item; item = strtok(NULL, ",")) {
    char* colon = strchr(item, ':');
    if (!colon) fail(item);
    *colon = 0;
    deny(item, colon + 1);
  }
  add(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW);
  struct sock_fprog filter = {used, program};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) fail("PR_SET_NO_NEW_PRIVS");
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) != 0) fail("PR_SET_SECCOMP");
  execvp(argv[3], argv + 3);
  fail(argv[3]);
}
