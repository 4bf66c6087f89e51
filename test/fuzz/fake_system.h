// Put before every source of the fuzzed guardian (-include): its system calls become those of world.cc. No process is
// started, signalled or waited for, no descriptor is real, and time is a number.
#pragma once
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FAKE(name) fake_##name

[[noreturn]] void FAKE(_exit)(int code);
int FAKE(chdir)(const char* path);
int FAKE(close)(int fd);
int FAKE(dup2)(int from, int to);
int FAKE(fcntl)(int fd, int command, ...);
int FAKE(getpgrp)();
int FAKE(getpid)();
int FAKE(kill)(int pid, int sig);
int FAKE(nanosleep)(const struct timespec* pause, struct timespec* rest);
int FAKE(open)(const char* path, int flags, ...);
int FAKE(poll)(struct pollfd* fds, unsigned long count, int timeout);
int FAKE(ppoll)(struct pollfd* fds, unsigned long count, const struct timespec* timeout, const void* mask);
int FAKE(prctl)(int option, ...);
ssize_t FAKE(read)(int fd, void* buffer, size_t size);
ssize_t FAKE(recv)(int fd, void* buffer, size_t size, int flags);
ssize_t FAKE(sendmsg)(int fd, const struct msghdr* message, int flags);
int FAKE(setpgid)(int pid, int pgid);
int FAKE(setpriority)(int which, unsigned who, int value);
long FAKE(syscall)(long number, ...);
int FAKE(tcgetpgrp)(int fd);
int FAKE(tcsetpgrp)(int fd, int pgid);

#define _exit fake__exit
#define chdir fake_chdir
#define close fake_close
#define dup2 fake_dup2
#define fcntl fake_fcntl
#define getpgrp fake_getpgrp
#define getpid fake_getpid
#define kill fake_kill
#define nanosleep fake_nanosleep
#define open fake_open
#define poll fake_poll
#define ppoll fake_ppoll
#define prctl fake_prctl
#define read fake_read
#define recv fake_recv
#define sendmsg fake_sendmsg
#define setpgid fake_setpgid
#define setpriority fake_setpriority
#define syscall fake_syscall
#define tcgetpgrp fake_tcgetpgrp
#define tcsetpgrp fake_tcsetpgrp
