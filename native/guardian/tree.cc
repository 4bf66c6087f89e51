#include "tree.h"

#include <errno.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "box.h"
#include "core/group.h"
#include "core/kernel.h"

namespace procgroup {

bool Tree::open(int high_fd, int spared_pgid) {
  self_ = getpid();
  spared_ = spared_pgid;
  bool usable = proc_.open(high_fd);
  Vec<int> own;
  by_children_ = usable && proc_.children(self_, &own);
  uint32_t signals = probe_pidfd_signals();  // a filter may grant pidfd_open and refuse pidfd_send_signal
  by_pidfd_ = signals & kFeaturePidfd;
  group_flag_ = signals & kFeaturePidfdGroup;
  return usable;
}

Fd Tree::handle(int pid) const { return Fd(by_pidfd_ ? sys_pidfd_open(pid) : -1); }

bool Tree::member(const ProcStat& process) const {
  if (scope_ == Scope::Tree) return true;
  return process.pid == leader_ || process.pgid == pgid_ || (sid_ != 0 && process.sid == sid_);
}

void Tree::descendants(Vec<ProcStat>* out) {
  out->clear();
  ProcStat leader;
  if (scope_ == Scope::Leader) {
    if (proc_.stat(leader_, &leader) && leader.ppid == self_ && leader.alive()) out->push(leader);
  } else {
    all_descendants(out);
    for (size_t i = out->size(); scope_ != Scope::Tree && i-- > 0;) {
      if (!member((*out)[i])) out->remove_swap(i);
    }
  }
  descendants_ = out->size();
  if (box_ != nullptr) box_->add_members(proc_, out);
}

void Tree::all_descendants(Vec<ProcStat>* out) {
  if (by_children_) {
    Vec<int> queue;
    proc_.children(self_, &queue);
    for (size_t at = 0; at < queue.size(); at++) {
      ProcStat stat;
      if (!proc_.stat(queue[at], &stat)) continue;
      proc_.children(queue[at], &queue);  // also of a dead one: its threads' children may not have moved to us yet
      if (stat.alive()) out->push(stat);
    }
    return;
  }
  // Every process with its parent; then outwards from us until nobody is added.
  Vec<ProcStat> all;
  proc_.scan([&](const ProcStat& process) { all.push(process); });
  Vec<int> known;
  known.push(self_);
  for (size_t at = 0; at < known.size(); at++) {
    for (size_t i = 0; i < all.size();) {
      if (all[i].ppid != known[at]) {
        i++;
        continue;
      }
      known.push(all[i].pid);
      if (all[i].alive()) out->push(all[i]);
      all.remove_swap(i);
    }
  }
}

// Through a pidfd, with a second look after it was opened: the number may have gone to a stranger since the first.
void Tree::signal_one(const ProcStat& process, int sig, TreeSignal* result) {
  Fd pidfd(handle(process.pid));
  ProcStat again;
  if (!proc_.stat(process.pid, &again) || again.start_time != process.start_time) return;
  int r = signal_process(pidfd.get(), process.pid, sig);
  if (r == 0)
    result->reached++;
  else if (r != -ESRCH)
    result->err = -r;
}

// The whole group at once, by a pidfd that pins its number: the one we hold, or that of its living leader. False:
// nothing pins it, and its members are signalled one by one. Before Linux 6.9 the number itself, while a member is seen
// in it.
bool Tree::signal_group(int pgid, int sig, TreeSignal* result) {
  if (pgid == spared_ || guard_pgid(pgid) != Refusal::None) return false;
  Fd own;
  int pidfd = -1;
  if (group_flag_) {
    ProcStat leader;
    if (pgid == pinned_ && pinned_fd_ >= 0 && !pinned_gone_) {
      pidfd = pinned_fd_;
    } else {
      own.reset(sys_pidfd_open(pgid));
      if (!own.valid() || !proc_.stat(pgid, &leader) || leader.pgid != pgid) return false;
      pidfd = own.get();
    }
  }
  int r = pidfd >= 0 ? sys_pidfd_send_signal(pidfd, sig, kPidfdSignalProcessGroup) : killpg_guarded(pgid, sig);
  if (r == -ESRCH && pidfd >= 0 && pidfd == pinned_fd_) {
    pinned_gone_ = true;
    return false;
  }
  if (r == 0)
    result->reached++;
  else if (r != -ESRCH)
    result->err = -r;
  return true;
}

void Tree::signal_all(const Vec<ProcStat>& members, int sig, TreeSignal* result) {
  Vec<int> done;
  auto contains_pgid = [&](int pgid) {
    for (int known : done) {
      if (known == pgid) return true;
    }
    return false;
  };
  for (const ProcStat& member : members) {
    if (scope_ == Scope::Leader || member.pgid != pinned_ || pinned_gone_ || contains_pgid(pinned_)) continue;
    if (signal_group(pinned_, sig, result)) done.push(pinned_);
  }
  // A member may be in a group of strangers (setpgid takes any group of the session, a cgroup takes any process): only
  // a group that a descendant of ours leads is signalled as one.
  auto led_by_ours = [&](int pgid) {
    for (size_t i = 0; i < descendants_; i++) {
      if (members[i].pid == pgid && members[i].pgid == pgid) return true;
    }
    return false;
  };
  for (const ProcStat& member : members) {
    if (contains_pgid(member.pgid)) continue;
    if (scope_ != Scope::Leader && led_by_ours(member.pgid) && signal_group(member.pgid, sig, result))
      done.push(member.pgid);
    else
      signal_one(member, sig, result);
  }
}

// Without a usable /proc only the leader's group is known, while its pidfd pins it.
void Tree::signal_unseen(int sig, TreeSignal* result) {
  if (proc_.usable() || scope_ == Scope::Leader || pinned_ == 0 || !group_flag_ || pinned_fd_ < 0) return;
  signal_group(pinned_, sig, result);
}

TreeSignal Tree::signal(int sig, bool then_continue) {
  TreeSignal result, unused;
  Vec<ProcStat> members;
  descendants(&members);
  signal_unseen(sig, &result);
  signal_all(members, sig, &result);
  if (!then_continue) return result;
  signal_unseen(SIGCONT, &unused);
  signal_all(members, SIGCONT, &unused);
  return result;
}

TreeSignal Tree::signal_leader(int sig, bool leader_reaped) {
  TreeSignal result;
  bool pins = pgid_ == pinned_ && !pinned_gone_ && (group_flag_ ? pinned_fd_ >= 0 : !leader_reaped);
  if (scope_ != Scope::Leader && pins && signal_group(pgid_, sig, &result) && (result.reached > 0 || result.err != 0)) {
    return result;
  }
  Vec<ProcStat> members;
  descendants(&members);
  for (const ProcStat& member : members) {
    bool own = (member.pgid == pgid_ && !pinned_gone_) || (member.pid == leader_ && !leader_reaped);
    if (own) signal_one(member, sig, &result);
  }
  return result;
}

bool Tree::group_gone(int pgid) {
  if (pgid == pinned_ && group_flag_ && pinned_fd_ >= 0) {
    return sys_pidfd_send_signal(pinned_fd_, 0, kPidfdSignalProcessGroup) == -ESRCH;
  }
  return killpg_guarded(pgid, 0) == -ESRCH;
}

}  // namespace procgroup
