// All descendants of this process, which is their subreaper: who they are, signalling them, ending them.
#pragma once
#include <stdint.h>

#include "core/procfs.h"
#include "core/vec.h"

namespace procgroup {

struct TreeSignal {
  int reached = 0;  // processes or groups
  int err = 0;      // the last errno that was not ESRCH
};

class Tree {
 public:
  // `spared_pgid`: a group that is never signalled as one, because strangers are in it (0: only our own).
  bool open(int high_fd, int spared_pgid);
  // The leader's pidfd pins its group, also after it was reaped. It stays the caller's.
  void pin(int pgid, int pidfd) { pinned_ = pgid, pinned_fd_ = pidfd; }

  // Live descendants, found by ancestry: every thread's children, as the kernel lists them, else by the parent of every
  // process.
  void descendants(Vec<ProcStat>* out);

  // One signal to the leader's group, then one to each other group of the tree, then to members that no group signal
  // may reach; each followed by SIGCONT where `then_continue`.
  TreeSignal signal(int sig, bool then_continue);

  // One round towards an empty tree: kill our own children, freeze all descendants until a second look is unchanged,
  // then kill group by group and one by one. Bounded; the caller reaps and calls again until nobody is left.
  void kill_round();

  ProcFs& proc() { return proc_; }

 private:
  void freeze();
  void signal_one(const ProcStat& process, int sig, TreeSignal* result);
  bool signal_group(int pgid, int sig, TreeSignal* result);
  void signal_all(const Vec<ProcStat>& members, int sig, TreeSignal* result);

  ProcFs proc_;
  int self_ = 0;
  int spared_ = 0;
  int pinned_ = 0;
  int pinned_fd_ = -1;
  bool group_flag_ = false;
  bool by_children_ = false;
};

}  // namespace procgroup
