#include "reaper.h"

#include <errno.h>
#include <limits.h>
#include <sys/eventfd.h>

#include "kernel.h"
#include "spawn.h"

namespace procgroup {
namespace {

constexpr uint64_t kWakeToken = UINT64_MAX;

// epoll_wait counts milliseconds: rounded up, so that a deadline has passed when it returns. A timerfd would cost a
// system call at every change of the earliest deadline.
int timeout_ms(uint64_t deadline) {
  if (deadline == kNever) return -1;
  uint64_t now = now_ns();
  if (deadline <= now) return 0;
  uint64_t ms = (deadline - now + 999999) / 1000000;
  return ms > INT_MAX ? INT_MAX : static_cast<int>(ms);
}

}  // namespace

int Reaper::open(int high_fd, bool wakeable) {
  epoll_.reset(move_high(epoll_create1(EPOLL_CLOEXEC), high_fd));
  if (!epoll_.valid()) return -errno;
  if (!wakeable) return 0;
  wake_.reset(move_high(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), high_fd));
  if (!wake_.valid()) {
    int err = errno;
    epoll_.reset();
    return -err;
  }
  struct epoll_event event = {};
  event.events = EPOLLIN | EPOLLET;  // edge: the counter need not be read
  event.data.u64 = kWakeToken;
  return epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event) == 0 ? 0 : -errno;
}

int Reaper::add(int fd, Token token) {
  struct epoll_event event = {};
  event.events = EPOLLIN;
  event.data.u64 = token.pack();
  return epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

int Reaper::modify(int fd, Token token, uint32_t events) {
  struct epoll_event event = {};
  event.events = events;
  event.data.u64 = token.pack();
  return epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) == 0 ? 0 : -errno;
}

void Reaper::remove(int fd) { epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr); }

void Reaper::wake() { eventfd_write(wake_.get(), 1); }

int Reaper::wait(struct epoll_event* events, uint64_t deadline) {
  int n = epoll_wait(epoll_.get(), events, kBatch, timeout_ms(deadline));
  if (n < 0) return 0;  // EINTR
  int kept = 0;
  for (int i = 0; i < n; i++) {
    if (events[i].data.u64 != kWakeToken) events[kept++] = events[i];
  }
  return kept;
}

}  // namespace procgroup
