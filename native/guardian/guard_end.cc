// How a guard ends.
#include <errno.h>

#include "core/kernel.h"
#include "guard.h"

namespace procgroup {

void Guard::finish(bool empty) {
  ladder_.on(LadderEvent::Empty);
  report_.empty = empty;
  report_.duration_ns = teardown_start_ == 0 ? 0 : now_ns() - teardown_start_;
  state_ = empty ? GuardState::Empty : GuardState::Survivors;
  if (box_ != nullptr) box_->close(&report_);
  listener_->on_gone(report_);
}

// The command did not start.
void Guard::fail(const Error& error) {
  state_ = GuardState::Empty;
  if (box_ != nullptr) box_->close(&report_);
  listener_->on_failed(error);
}

}  // namespace procgroup
