// All descendants of this process, which is their subreaper: who they are, signalling them, ending them.
#pragma once
#include <errno.h>
#include <stdint.h>

#include "core/fd.h"
#include "core/procfs.h"
#include "core/vec.h"

namespace procgroup {

class Box;

// Who is a member: the leader alone, its process group (or its session, where it leads one), or all descendants.
enum class Scope : uint8_t { Leader, Group, Tree };

struct TreeSignal {
  int reached = 0;  // processes or groups
  int err = 0;      // the last errno that was not ESRCH

  int result() const { return reached > 0 ? 0 : err != 0 ? -err : -ESRCH; }
};

class Tree {
 public:
  // `spared_pgid`: a group that is never signalled as one, because strangers are in it (0: only our own).
  bool open(int high_fd, int spared_pgid);
  // The leader's pidfd pins its group, also after it was reaped. It stays the caller's.
  void pin(int pgid, int pidfd) { pinned_ = pgid, pinned_fd_ = pidfd; }

  void enter(Box* box) { box_ = box; }

  // `sid`: the session whose processes count as the group's, or 0.
  void limit(Scope scope, int leader, int pgid, int sid) { scope_ = scope, leader_ = leader, pgid_ = pgid, sid_ = sid; }

  // Live descendants that are members, found by ancestry: every thread's children, as the kernel lists them, else by
  // the parent of every process.
  void descendants(Vec<ProcStat>* out);

  // Adds our own children that are dead and not waitable: a tracer that does not wait holds them. Call after reaping.
  void held_zombies(Vec<ProcStat>* out);
  bool traced(pid_t pid);

  // One signal to the leader's group, then one to each other group of the tree, then to members that no group signal
  // may reach; each followed by SIGCONT where `then_continue`.
  TreeSignal signal(int sig, bool then_continue);

  // One signal to the leader's group as the leader was placed in it, never to another one that has got its number; to
  // its members of ours one by one where the group is shared with strangers, or its number no longer pinned.
  TreeSignal signal_leader(int sig, bool leader_reaped);
  // Signal 0 to the group gives ESRCH, which proves it empty. kill(2).
  bool group_gone(int pgid);

  // One round towards an empty tree: kill our own children, freeze all descendants until a second look is unchanged,
  // then kill group by group and one by one. Bounded; the caller reaps and calls again until nobody is left.
  void kill_round();

  ProcFs& proc() { return proc_; }
  // A pidfd to signal the process by; none where they are refused, and its number has to do.
  Fd handle(int pid) const;

 private:
  void all_descendants(Vec<ProcStat>* out);
  bool member(const ProcStat& process) const;
  void freeze();
  void signal_unseen(int sig, TreeSignal* result);
  void signal_one(const ProcStat& process, int sig, TreeSignal* result);
  bool signal_group(int pgid, int sig, TreeSignal* result);
  void signal_all(const Vec<ProcStat>& members, int sig, TreeSignal* result);

  ProcFs proc_;
  int self_ = 0;
  int spared_ = 0;
  int pinned_ = 0;
  int pinned_fd_ = -1;
  bool pinned_gone_ = false;  // its last process has been reaped: whoever has the number now is another group
  Scope scope_ = Scope::Tree;
  int leader_ = 0;
  int pgid_ = 0;
  int sid_ = 0;
  bool by_pidfd_ = false;
  size_t descendants_ = 0;  // of the last list of members: the others are no children of children of ours
  Box* box_ = nullptr;      // knows members that are no descendants
  bool group_flag_ = false;
  bool by_children_ = false;
};

}  // namespace procgroup
