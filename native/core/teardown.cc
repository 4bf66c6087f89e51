#include "teardown.h"

#include <signal.h>

namespace procgroup {

void Ladder::configure(const LadderStep* steps, size_t count, uint64_t kill_wait_ns) {
  steps_.clear();
  for (size_t i = 0; i < count; i++) steps_.push(steps[i]);
  kill_wait_ns_ = kill_wait_ns;
}

LadderAction Ladder::next_step() {
  if (next_ >= steps_.size()) return kill();
  state_ = LadderState::Grace;
  signal_ = steps_[next_].signal;
  grace_ns_ = steps_[next_].grace_ns;
  next_++;
  return LadderAction::Signal;
}

LadderAction Ladder::kill() {
  state_ = LadderState::Killing;
  signal_ = SIGKILL;
  grace_ns_ = kill_wait_ns_;
  return LadderAction::Signal;
}

LadderAction Ladder::on(LadderEvent event) {
  enum Do : uint8_t { Nothing, Next, Kill, Finish, Name };
  static constexpr Do table[4][4] = {
      //            Begin    Kill     Deadline  Empty
      /* Idle    */ {Next, Kill, Nothing, Finish},
      /* Grace   */ {Nothing, Kill, Next, Finish},
      /* Killing */ {Nothing, Nothing, Name, Finish},
      /* Done    */ {Nothing, Nothing, Nothing, Nothing},
  };
  switch (table[static_cast<int>(state_)][static_cast<int>(event)]) {
    case Next:
      return next_step();
    case Kill:
      return kill();
    case Finish:
      state_ = LadderState::Done;
      return LadderAction::Finish;
    case Name:
      state_ = LadderState::Done;
      return LadderAction::NameSurvivors;
    case Nothing:
      break;
  }
  return LadderAction::None;
}

uint64_t Ladder::deadline(uint64_t now) const {
  uint64_t deadline = now + grace_ns_;
  if (deadline < now) return UINT64_MAX;
  return state_ == LadderState::Grace && cap_ < deadline ? cap_ : deadline;
}

}  // namespace procgroup
