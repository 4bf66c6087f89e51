// Runs a program in whose descendants a system call on certain paths never comes back, as on a mount that does not
// answer:
//   hold CALL:TEXT -- command [args]
// CALL is chdir or execve; every path that contains TEXT is held, for good. Only a fatal signal ends the caller. Each
// hold is told on stderr, `held PID PATH`. Exits as the command did, once all who could be held are gone.
// seccomp_unotify(2), since Linux 5.5.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LIFE_SECONDS = 60 };

static void fail(const char* what) {
  fprintf(stderr, "hold: %s: %s\n", what, strerror(errno));
  _exit(125);
}

static int listen_to(int number) {
  struct sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog filter = {sizeof program / sizeof *program, program};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) fail("PR_SET_NO_NEW_PRIVS");
  int fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &filter);
  if (fd < 0) fail("seccomp");
  return fd;
}

// The descriptor travels as SCM_RIGHTS: the parent itself has no filter.
static void pass(int socket, int* fd, int give) {
  char byte = 0, control[CMSG_SPACE(sizeof *fd)] = {0};
  struct iovec part = {&byte, 1};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  if (give) {
    struct cmsghdr* header = CMSG_FIRSTHDR(&message);
    *header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof *fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(header), fd, sizeof *fd);
    if (sendmsg(socket, &message, 0) != 1) fail("sendmsg");
    return;
  }
  if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1 || CMSG_FIRSTHDR(&message) == NULL) fail("recvmsg");
  memcpy(fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof *fd);
}

static void answer(int listener, const char* text) {
  struct seccomp_notif asked = {0};
  if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &asked) != 0) return;  // it died meanwhile
  char name[40], path[4096] = "";
  snprintf(name, sizeof name, "/proc/%u/mem", asked.pid);
  int memory = open(name, O_RDONLY | O_CLOEXEC);
  if (memory < 0 || pread(memory, path, sizeof path - 1, (off_t)asked.data.args[0]) < 0) path[0] = 0;
  if (memory >= 0) close(memory);
  if (strstr(path, text) != NULL) {
    dprintf(STDERR_FILENO, "held %u %s\n", asked.pid, path);
    return;
  }
  struct seccomp_notif_resp go = {.id = asked.id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
  ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &go);
}

int main(int argc, char** argv) {
  char* text = argc > 3 ? strchr(argv[1], ':') : NULL;
  if (text == NULL || strcmp(argv[2], "--") != 0) {
    fprintf(stderr, "usage: hold chdir|execve:TEXT -- command [args]\n");
    return 125;
  }
  *text++ = 0;
  int number = strcmp(argv[1], "chdir") == 0 ? SYS_chdir : SYS_execve;
  int ends[2], listener = -1;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) fail("socketpair");
  pid_t command = fork();
  if (command < 0) fail("fork");
  if (command == 0) {
    listener = listen_to(number);
    pass(ends[0], &listener, 1);
    execvp(argv[3], argv + 3);
    fail(argv[3]);
  }
  close(ends[0]);
  alarm(LIFE_SECONDS);
  pass(ends[1], &listener, 0);
  close(STDIN_FILENO);
  close(STDOUT_FILENO);
  int status = 0, ended = 0;
  for (;;) {
    struct pollfd polled = {listener, POLLIN, 0};
    poll(&polled, 1, 100);
    if (!ended) ended = waitpid(command, &status, WNOHANG) == command;
    if (polled.revents & POLLIN) answer(listener, text);
    if (polled.revents & POLLHUP) break;  // nobody is left under the filter
  }
  if (!ended && waitpid(command, &status, 0) != command) fail("waitpid");
  if (WIFEXITED(status)) return WEXITSTATUS(status);
  signal(WTERMSIG(status), SIG_DFL);
  raise(WTERMSIG(status));
  return 128 + WTERMSIG(status);
}
