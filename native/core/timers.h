// Deadlines as a binary heap over timers that live in their owners.
#pragma once
#include <stdint.h>

#include "vec.h"

namespace procgroup {

struct Timer {
  uint64_t deadline = 0;  // CLOCK_MONOTONIC, nanoseconds
  int32_t at = -1;        // place in the heap, -1: not armed
  int32_t kind = 0;
  void* owner = nullptr;

  bool armed() const { return at >= 0; }
};

constexpr uint64_t kNever = UINT64_MAX;

class Timers {
 public:
  uint64_t next() const { return heap_.empty() ? kNever : heap_[0]->deadline; }

  void arm(Timer* timer, uint64_t deadline) {
    if (timer->armed()) cancel(timer);
    timer->deadline = deadline;
    heap_.push(timer);
    timer->at = static_cast<int32_t>(heap_.size()) - 1;
    up(heap_.size() - 1);
  }

  void cancel(Timer* timer) {
    if (!timer->armed()) return;
    size_t i = static_cast<size_t>(timer->at);
    timer->at = -1;
    Timer* last = heap_.back();
    heap_.pop();
    if (last == timer) return;
    put(i, last);
    up(i);
    down(static_cast<size_t>(last->at));
  }

  // The earliest timer that is due, disarmed; null where none is.
  Timer* take_due(uint64_t now) {
    if (heap_.empty() || heap_[0]->deadline > now) return nullptr;
    Timer* timer = heap_[0];
    cancel(timer);
    return timer;
  }

 private:
  void put(size_t i, Timer* timer) {
    heap_[i] = timer;
    timer->at = static_cast<int32_t>(i);
  }
  void up(size_t i) {
    Timer* timer = heap_[i];
    for (; i > 0 && heap_[(i - 1) / 2]->deadline > timer->deadline; i = (i - 1) / 2) put(i, heap_[(i - 1) / 2]);
    put(i, timer);
  }
  void down(size_t i) {
    Timer* timer = heap_[i];
    for (;;) {
      size_t child = 2 * i + 1;
      if (child >= heap_.size()) break;
      if (child + 1 < heap_.size() && heap_[child + 1]->deadline < heap_[child]->deadline) child++;
      if (heap_[child]->deadline >= timer->deadline) break;
      put(i, heap_[child]);
      i = child;
    }
    put(i, timer);
  }

  Vec<Timer*> heap_;
};

}  // namespace procgroup
