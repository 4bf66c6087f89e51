// The event loop: one epoll instance, one eventfd to wake it, deadlines as its timeout.
#pragma once
#include <stdint.h>
#include <sys/epoll.h>

#include "fd.h"
#include "timers.h"

namespace procgroup {

// What an event belongs to: kind, slot and generation, so that none can reach a slot that was given to somebody else.
struct Token {
  uint8_t kind;
  uint32_t slot;        // 24 bits
  uint32_t generation;  // 32 bits

  uint64_t pack() const { return uint64_t{kind} << 56 | uint64_t{slot} << 32 | generation; }
  static Token unpack(uint64_t v) {
    return {static_cast<uint8_t>(v >> 56), static_cast<uint32_t>(v >> 32) & 0xffffff, static_cast<uint32_t>(v)};
  }
};

class Reaper {
 public:
  static constexpr int kBatch = 256;

  // 0 or a negative errno. Descriptors are placed at or above `high_fd`.
  // Without `wakeable` there is no wake(): the loop's own thread is the only one.
  int open(int high_fd, bool wakeable = true);
  bool is_open() const { return epoll_.valid(); }

  int add(int fd, Token token);
  int modify(int fd, Token token, uint32_t events);
  // Before close, always: a child between clone and exec may hold a copy, which would keep the registration alive.
  void remove(int fd);

  // Any thread.
  void wake();

  // Waits until an event, a wake-up or `deadline`; fills `events` (wake-ups are swallowed) and returns their number.
  int wait(struct epoll_event* events, uint64_t deadline);

 private:
  Fd epoll_;
  Fd wake_;
};

}  // namespace procgroup
