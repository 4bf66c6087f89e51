// The ladder of one teardown: which signal comes next, and until when. It decides; the supervisor of the group acts.
#pragma once
#include <stdint.h>

#include "vec.h"

namespace procgroup {

struct LadderStep {
  int32_t signal;
  uint64_t grace_ns;
};

enum class LadderState : uint8_t { Idle, Grace, Killing, Done };
enum class LadderEvent : uint8_t { Begin, Kill, Deadline, Empty };
enum class LadderAction : uint8_t { None, Signal, Finish, NameSurvivors };

class Ladder {
 public:
  void configure(const LadderStep* steps, size_t count, uint64_t kill_wait_ns);

  // Every pair of state and event has one answer. After Signal: signal() is due now, and deadline(now) is the next
  // event.
  LadderAction on(LadderEvent event);

  LadderState state() const { return state_; }
  int signal() const { return signal_; }
  uint64_t deadline(uint64_t now) const;
  // No grace ends later than this: the process itself is ending. The wait after SIGKILL follows it.
  void cap_graces(uint64_t deadline) { cap_ = deadline < cap_ ? deadline : cap_; }

 private:
  LadderAction next_step();
  LadderAction kill();

  Vec<LadderStep> steps_;
  uint64_t kill_wait_ns_ = 0;
  uint64_t cap_ = UINT64_MAX;
  size_t next_ = 0;
  int signal_ = 0;
  uint64_t grace_ns_ = 0;
  LadderState state_ = LadderState::Idle;
};

}  // namespace procgroup
