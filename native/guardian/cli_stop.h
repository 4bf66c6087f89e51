// Our own stop, after the command's: what a shell sees of a job that was suspended. signal(7), signalfd(2).
#pragma once
#include <stdint.h>
#include <sys/signalfd.h>

#include "core/fd.h"
#include "core/timers.h"

namespace procgroup {

// A stop signal discards a SIGCONT that is pending, and leaves no trace of it. All our signals are blocked, so that a
// SIGCONT which came between a SIGTSTP and our own stop for it would be lost, and the command would stay stopped for
// ever. A SIGTSTP that was handed on is therefore not read but stays pending until the command has stopped: a SIGCONT
// then discards it, in the kernel, and there is nothing left to stop us.
class StopSignal {
 public:
  // From here on `signal_fd` does not read SIGTSTP any more.
  void open(int signal_fd, int high_fd);
  // Readable: a SIGTSTP has come, to be kept or dropped.
  int fd() const { return kept() ? -1 : fd_.get(); }
  int own_fd() const { return fd_.get(); }
  // It has been handed on. One more within `deadline` is the same one.
  void keep(uint64_t now);
  bool kept() const { return deadline_ != kNever; }
  uint64_t deadline() const { return deadline_; }
  // By a SIGCONT: one that is pending now is another.
  void discarded() { deadline_ = kNever; }
  // The command does not stop for it (yet), or it was not handed on as a stop.
  void drop();

  // Stops this process until SIGCONT, as SIGTSTP would by default where one is kept, else as `sig` (SIGSTOP: as
  // SIGTSTP). That SIGCONT, or one that came before, is then pending. False: the kernel did not stop us, since nobody
  // would continue us (our group is orphaned, or we are an init).
  bool stop(int sig);

 private:
  Fd fd_;
  uint64_t deadline_ = kNever;
};

}  // namespace procgroup
