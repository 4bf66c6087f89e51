// ptyrun ROWS COLUMNS FILE ARGS...: runs FILE as the leader of a session that has a new pty as its controlling
// terminal.
//
// Commands, one a line on stdin:            Events, one a line on stdout:
//   send HEX    type these bytes              pid N        the leader, once, before anything else
//   pgrp        who has the terminal          pgrp N       answer: its foreground process group, or -1
//   size R C    a new window size             size 0       answer: 0, or the errno
//   hangup      close the master side         out HEX      what the terminal shows
//                                             exit N       the leader ended with code N
//                                             signal N     the leader was ended by signal N
// The end of stdin hangs the terminal up and kills the leader's own process group.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

static int master = -1;
static pid_t leader;

static void fail(const char* what) {
  fprintf(stderr, "ptyrun: %s: %s\n", what, strerror(errno));
  exit(125);
}

static void session(const char* slave_path, char** argv) {
  sigset_t none;
  sigemptyset(&none);
  for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
  sigprocmask(SIG_SETMASK, &none, NULL);
  if (setsid() < 0) fail("setsid");
  int slave = open(slave_path, O_RDWR | O_NOCTTY);
  if (slave < 0) fail(slave_path);
  if (ioctl(slave, TIOCSCTTY, 0) < 0) fail("TIOCSCTTY");
  for (int fd = 0; fd < 3; fd++) dup2(slave, fd);
  if (slave > 2) close(slave);
  execvp(argv[0], argv);
  fail(argv[0]);
}

// Prints what there is; a master whose slaves are all closed reads EIO until one is opened again.
static void relay(void) {
  unsigned char bytes[4096];
  ssize_t count;
  while (master >= 0 && (count = read(master, bytes, sizeof bytes)) > 0) {
    printf("out ");
    for (ssize_t at = 0; at < count; at++) printf("%02x", bytes[at]);
    printf("\n");
  }
}

static void type(const char* hex) {
  unsigned byte;
  for (; sscanf(hex, "%2x", &byte) == 1; hex += 2) {
    unsigned char one = (unsigned char)byte;
    while (write(master, &one, 1) < 0) {
      if (errno != EAGAIN && errno != EINTR) return;
      relay();
      struct pollfd room = {.fd = master, .events = POLLOUT | POLLIN};
      poll(&room, 1, 1000);
    }
  }
}

static void obey(char* line) {
  unsigned short rows, columns;
  if (strncmp(line, "send ", 5) == 0) {
    type(line + 5);
  } else if (strcmp(line, "pgrp") == 0) {
    pid_t group = -1;
    if (ioctl(master, TIOCGPGRP, &group) < 0) group = -1;
    printf("pgrp %d\n", group);
  } else if (sscanf(line, "size %hu %hu", &rows, &columns) == 2) {
    struct winsize size = {.ws_row = rows, .ws_col = columns};
    printf("size %d\n", ioctl(master, TIOCSWINSZ, &size) < 0 ? errno : 0);
  } else if (strcmp(line, "hangup") == 0) {
    close(master);
    master = -1;
  } else {
    fprintf(stderr, "ptyrun: unknown command: %s\n", line);
  }
}

static void reap(void) {
  int status;
  if (waitpid(leader, &status, WNOHANG) != leader) return;
  relay();
  if (WIFSIGNALED(status))
    printf("signal %d\n", WTERMSIG(status));
  else
    printf("exit %d\n", WEXITSTATUS(status));
  leader = 0;
}

// Reads whole lines; false at the end of stdin.
static int take_commands(void) {
  static char buffer[65536];
  static size_t used;
  ssize_t count = read(0, buffer + used, sizeof buffer - 1 - used);
  if (count <= 0) return count < 0 && errno == EINTR;
  used += (size_t)count;
  buffer[used] = '\0';
  char* line = buffer;
  for (char* end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
    *end = '\0';
    obey(line);
  }
  used -= (size_t)(line - buffer);
  memmove(buffer, line, used);
  return used < sizeof buffer - 1;
}

int main(int argc, char** argv) {
  if (argc < 4) {
    fprintf(stderr, "usage: ptyrun ROWS COLUMNS FILE ARGS...\n");
    return 125;
  }
  sigset_t chld;
  sigemptyset(&chld);
  sigaddset(&chld, SIGCHLD);
  sigprocmask(SIG_BLOCK, &chld, NULL);
  signal(SIGPIPE, SIG_IGN);
  int ended = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK);
  master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
  char slave_path[64];
  if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0) fail("pty");
  if (ptsname_r(master, slave_path, sizeof slave_path) != 0) fail("ptsname");
  struct winsize size = {.ws_row = (unsigned short)atoi(argv[1]), .ws_col = (unsigned short)atoi(argv[2])};
  ioctl(master, TIOCSWINSZ, &size);
  // Held open, so that the master does not read EIO while the command changes hands.
  int held = open(slave_path, O_RDWR | O_NOCTTY | O_CLOEXEC);
  leader = fork();
  if (leader < 0) fail("fork");
  if (leader == 0) session(slave_path, argv + 3);
  pid_t group = leader;
  printf("pid %d\n", leader);
  for (;;) {
    fflush(stdout);
    struct pollfd fds[] = {{0, POLLIN, 0}, {ended, POLLIN, 0}, {master, POLLIN, 0}};
    if (poll(fds, 3, -1) < 0 && errno != EINTR) fail("poll");
    if (fds[2].revents != 0) relay();
    if (fds[1].revents != 0) {
      struct signalfd_siginfo info;
      while (read(ended, &info, sizeof info) > 0) {
      }
      if (leader != 0) reap();
    }
    if ((fds[0].revents & (POLLIN | POLLHUP)) != 0 && !take_commands()) break;
  }
  if (master >= 0) close(master);
  close(held);
  if (leader != 0) {
    kill(-group, SIGKILL);
    waitpid(leader, NULL, 0);
  }
  return 0;
}
