// A shared object that does, when it is loaded, what native code does in a real process: it opens descriptors without
// O_CLOEXEC, ignores and handles signals, and blocks some in the thread that loads it.
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void handler(int signo) { (void)signo; }

__attribute__((constructor)) static void stray(void) {
  int fd = open("/dev/zero", O_RDONLY);
  if (fd < 0 || dup2(fd, 700) != 700 || dup2(fd, 1500) != 1500) abort();
  signal(SIGHUP, SIG_IGN);
  signal(SIGUSR2, SIG_IGN);
  signal(SIGRTMIN + 3, SIG_IGN);
  signal(SIGALRM, handler);
  signal(SIGRTMAX, handler);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGQUIT);
  sigaddset(&set, SIGRTMIN + 5);
  sigprocmask(SIG_BLOCK, &set, NULL);
}
