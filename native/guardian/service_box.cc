// What a supervisor hears of a containment that the kernel keeps, and orders.
#include "service.h"

namespace procgroup {

bool Service::enter_box(const Config& config, int high_fd) {
  Box* box = nullptr;
  Error error = open_box(config, socket_.get(), high_fd, &box);
  if (error.failed())
    on_failed(error);
  else
    guard_.enter(box);
  return box != nullptr;
}

void Service::tell_paused(int err) {
  paused_ = guard_.box()->paused();
  NewsMessage m = news(News::Paused);
  m.code = paused_, m.err = err;
  send(m);
}

void Service::on_watch() {
  guard_.on_watch();
  if (guard_.box()->paused() != paused_) tell_paused(0);
}

// Answered at once where nothing changes, else when the kernel says that it is so.
void Service::on_pause(bool on) {
  int r = guard_.state() == GuardState::Draining || guard_.done() ? -ESRCH : guard_.box()->pause(on);
  if (r < 0 || guard_.box()->paused() == on || guard_.box()->paused() != paused_) tell_paused(-r);
}

void Service::tell_usage(const Report& report) {
  NewsMessage m = news(News::Usage);
  for (int i = 0; i < kUsageNumbers; i++) m.numbers[i] = report.usage[static_cast<size_t>(i)];
  send(m);
}

}  // namespace procgroup
