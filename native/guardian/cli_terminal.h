// The controlling terminal, as a shell's job sees it. tcsetpgrp(3), setpgid(2).
#pragma once
#include <sys/types.h>

#include "core/fd.h"

namespace procgroup {

class Terminal {
 public:
  // As far as one of the descriptors 0 ... 2 refers to it. Our copy is placed at or above `high_fd`. `own`: the job's
  // group, which a shell gives the terminal to.
  void find(int high_fd, pid_t own);
  bool found() const { return fd_.valid(); }
  int fd() const { return fd_.get(); }

  // The job's group is its foreground group.
  bool ours() const;
  // False where it has hung up or the group is gone. SIGTTOU must be blocked.
  bool hand_to(pid_t pgid);
  // From `pgid`, and from nobody else: a shell may have taken it meanwhile. True: it was that one's, and is ours.
  bool take_back_from(pid_t pgid);

 private:
  Fd fd_;
  pid_t own_ = 0;
};

// Our own group is one of an outer PID namespace, and the terminal's foreground group. True where that cannot be seen.
bool in_foreground_outside();

// `own` has other members than us and `front`, a pipeline's or a script's, which need the terminal as well.
bool shares_group(pid_t own, pid_t front);

// What the terminal sends to its whole foreground group, or the kernel to a group that becomes orphaned.
bool sent_to_groups(int sig);
bool stops(int sig);

// To SIG_DFL. sigaction(2).
void reset_action(int sig);
bool is_ignored(int sig);

}  // namespace procgroup
