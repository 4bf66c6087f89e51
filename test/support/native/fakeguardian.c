// Stands between an engine and its guardian and tampers with what they say to each other. It is started in the
// guardian's place (PROCGROUP_TEST_GUARDIAN), with the command's environment: FAKE_GUARDIAN_REAL names the guardian
// that it starts in turn, FAKE_GUARDIAN what it does, as words parted by spaces:
//   silent        says nothing, for ever        exit        exits at once
//   refuse=N      the guardian's first N sendmsg(2) are refused with ENOBUFS, see refuse.h
//   oN:EDIT       the Nth order (to the guardian)           nN:EDIT     the Nth news (to the engine); both from 0
// EDIT: magic, build (another one), type=N, signal=N, word=I=N (32 bits at word I), short=N (cut to N bytes), long=N (N
// bytes more), empty (0 bytes), junk (same size), twice, drop, fds (three descriptors more, which must not leak). It
// knows nothing of the messages but their common head: magic, build, type; of an order also the signal after it.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "refuse.h"

enum { MOST = 65536, MOST_FDS = 8 };

static char packet[MOST];

static void fail(const char* what) {
  fprintf(stderr, "fakeguardian: %s: %s\n", what, strerror(errno));
  exit(120);
}

static void put(size_t word, uint32_t value) { memcpy(packet + word * 4, &value, 4); }

static uint32_t get(size_t word) {
  uint32_t value;
  memcpy(&value, packet + word * 4, 4);
  return value;
}

// Sends the packet, with the descriptors that came with it; they are not closed.
static void pass_on(int to, size_t size, const int* fds, int count) {
  struct iovec part = {packet, size};
  char control[CMSG_SPACE(sizeof(int) * MOST_FDS)];
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (count > 0) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)count);
    struct cmsghdr* head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)count);
    memcpy(CMSG_DATA(head), fds, sizeof(int) * (size_t)count);
  }
  sendmsg(to, &message, MSG_NOSIGNAL);
}

static ssize_t take(int from, int* fds, int* count) {
  struct iovec part = {packet, sizeof packet};
  char control[CMSG_SPACE(sizeof(int) * MOST_FDS)];
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  ssize_t n = recvmsg(from, &message, MSG_CMSG_CLOEXEC);
  *count = 0;
  for (struct cmsghdr* h = n >= 0 ? CMSG_FIRSTHDR(&message) : NULL; h; h = CMSG_NXTHDR(&message, h)) {
    if (h->cmsg_type != SCM_RIGHTS) continue;
    *count = (int)((h->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    memcpy(fds, CMSG_DATA(h), sizeof(int) * (size_t)*count);
  }
  return n;
}

// The edit for packet `index` of direction `side`, or NULL.
static const char* edit_for(char side, int index) {
  static char words[4096];
  snprintf(words, sizeof words, "%s", getenv("FAKE_GUARDIAN") ? getenv("FAKE_GUARDIAN") : "");
  for (char* word = strtok(words, " "); word; word = strtok(NULL, " ")) {
    int n, at = 0;
    if (word[0] == side && sscanf(word + 1, "%d:%n", &n, &at) == 1 && at > 0 && n == index) return word + 1 + at;
  }
  return NULL;
}

// 0 where the other side has hung up and nothing is left to take.
static int relay(int from, int to, char side, int index, int hung_up) {
  int fds[MOST_FDS], count;
  ssize_t n = take(from, fds, &count);
  if (n < 0 || (n == 0 && hung_up)) return 0;
  size_t size = (size_t)n;
  const char* edit = edit_for(side, index);
  unsigned value = 0, at = 0;
  if (!edit) {
    pass_on(to, size, fds, count);
  } else if (!strcmp(edit, "twice")) {
    pass_on(to, size, fds, count);
    pass_on(to, size, fds, count);
  } else if (!strcmp(edit, "fds")) {
    int more[4] = {count > 0 ? fds[0] : 0, 0, 1, 2};
    pass_on(to, size, more, 4);
  } else if (strcmp(edit, "drop") != 0) {
    if (!strcmp(edit, "magic")) put(0, get(0) ^ 1);
    if (!strcmp(edit, "build")) put(1, get(1) + 1);
    if (sscanf(edit, "type=%u", &value) == 1) put(2, value);
    if (sscanf(edit, "signal=%u", &value) == 1) put(3, value);
    if (sscanf(edit, "word=%u=%u", &at, &value) == 2 && at * 4 + 4 <= size) put(at, value);
    if (!strcmp(edit, "junk")) memset(packet, 0xa5, size);
    if (!strcmp(edit, "empty")) size = 0;
    if (sscanf(edit, "short=%u", &value) == 1 && value < size) size = value;
    if (sscanf(edit, "long=%u", &value) == 1) memset(packet + size, 0, value), size += value;
    pass_on(to, size, fds, count);
  }
  for (int i = 0; i < count; i++) close(fds[i]);
  return 1;
}

int main(int argc, char** argv) {
  const char* what = getenv("FAKE_GUARDIAN");
  const char* real = getenv("FAKE_GUARDIAN_REAL");
  int engine, ends[2], tell[2], go[2], refused = 0, listener = -1;
  if (argc < 2 || sscanf(argv[1], "--guard=%d,", &engine) != 1 || !what) return 64;
  alarm(300);
  if (!strcmp(what, "exit")) return 0;
  if (!strcmp(what, "silent"))
    for (;;) pause();
  if (!real || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends)) fail("socketpair");
  const char* refuse = strstr(what, "refuse=");
  if (refuse && sscanf(refuse, "refuse=%d", &refused) != 1) return 64;
  if (refused > 0 && (pipe2(tell, O_CLOEXEC) != 0 || pipe2(go, O_CLOEXEC) != 0)) fail("pipe2");
  // The guardian reads its configuration at once: it is there before the guardian is.
  int orders = 0, news = 0;
  relay(engine, ends[0], 'o', orders++, 0);
  pid_t pid = fork();
  if (pid < 0) fail("fork");
  if (pid == 0) {
    if (dup2(ends[1], engine) < 0) fail("dup2");
    if (refused > 0 && refuse_child(tell[1], go[0]) != 0) fail("seccomp");
    execv(real, argv);
    fail(real);
  }
  close(ends[1]);
  if (refused > 0) {
    close(tell[1]);
    if ((listener = refuse_listener(pid, tell[0], go[1])) < 0) fail("refuse");
  }
  // Nothing of the command's may stay open here.
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = 0; fd < engine; fd++) dup2(null, fd);
  for (;;) {
    struct pollfd polled[3] = {{engine, POLLIN, 0}, {ends[0], POLLIN, 0}, {listener, POLLIN, 0}};
    if (poll(polled, 3, -1) < 0) continue;
    if (polled[2].revents && !refuse_answer(listener, &refused)) listener = -1;
    int in = polled[1].revents, out = polled[0].revents;
    if (in & POLLIN && !relay(ends[0], engine, 'n', news++, in & POLLHUP)) break;
    if (out & POLLIN && !relay(engine, ends[0], 'o', orders++, out & POLLHUP)) return 0;
  }
  int status;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
