// Makes the kernel refuse the first `count` sendmsg(2) of a child with ENOBUFS, as it does where it has no memory, and
// none after that. seccomp_unotify(2), SECCOMP_USER_NOTIF_FLAG_CONTINUE since Linux 5.5, pidfd_getfd(2) since 5.6.
#ifndef PROCGROUP_TEST_REFUSE_H
#define PROCGROUP_TEST_REFUSE_H

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

// In the child: tells its parent by `tell` under which number it has the listener, and waits for its word on `go`.
static int refuse_child(int tell, int go) {
  struct sock_filter code[] = {
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr)},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_sendmsg},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_USER_NOTIF},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
  };
  struct sock_fprog filter = {sizeof code / sizeof *code, code};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
  int fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &filter);
  char word;
  if (fd < 0 || write(tell, &fd, sizeof fd) != sizeof fd || read(go, &word, 1) != 1) return -1;
  return close(fd);
}

// In the parent: a copy of the listener.
static int refuse_listener(pid_t child, int told, int go) {
  int number, fd = -1;
  int pidfd = (int)syscall(SYS_pidfd_open, child, 0);
  if (pidfd >= 0 && read(told, &number, sizeof number) == sizeof number) {
    fd = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
  }
  close(pidfd);
  if (fd >= 0 && write(go, "g", 1) != 1) return -1;
  return fd;
}

// The listener is readable: answers one call. False where its processes are gone.
static int refuse_answer(int listener, int* count) {
  struct seccomp_notif call = {0};
  if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call) != 0) return 0;
  struct seccomp_notif_resp answer = {.id = call.id};
  if (*count > 0)
    answer.error = -ENOBUFS, --*count;
  else
    answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
  ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
  return 1;
}

#endif
