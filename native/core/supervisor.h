// The life of every group under one event loop: the leader's exit, the ladder, the proof that nobody is left.
// Not thread-safe: the owner holds a lock around every call; scans of /proc run with it released (Listener::unlock).
#pragma once
#include <errno.h>
#include <stdint.h>

#include "kernel.h"
#include "procfs.h"
#include "reaper.h"
#include "record.h"
#include "timers.h"
#include "vec.h"

namespace procgroup {

// Beyond the ladder's own time, before a silent guardian counts as lost.
constexpr uint64_t kOrderSlack = 2'000'000'000;

inline bool table_full(int r) { return r == -EMFILE || r == -ENFILE; }

// Told under the owner's lock. The group is valid during the call only.
class Listener {
 public:
  virtual void on_started(Group& group) = 0;  // a tree's command
  virtual void on_failed(Group& group, const Error& error) = 0;
  virtual void on_stop_state(Group& group, int signal) = 0;  // 0: continued
  virtual void on_leader_exit(Group& group) = 0;
  virtual void on_draining(Group& group) = 0;
  virtual void on_gone(Group& group) = 0;     // group.report may be taken
  virtual void on_members(Group& group) = 0;  // group.found
  virtual void on_paused(Group& group, bool paused, int err) = 0;
  // Starts the configured killer for `group`; it is adopted with killer_for set. False: it could not be queued.
  virtual bool start_killer(Group& group, int signal, const Vec<pid_t>& pids) = 0;
  virtual void unlock() = 0;
  virtual void lock() = 0;

 protected:
  ~Listener() = default;
};

struct NewsMessage;
enum class Order : uint32_t;

class Supervisor {
 public:
  Supervisor(Listener* listener, Reaper* reaper) : listener_(listener), reaper_(reaper) {}

  void configure(uint32_t features, int high_fd) {
    features_ = features;
    high_fd_ = high_fd;
    proc_.open(high_fd);
    caller_proc_.open(high_fd);
    take_spare();
  }
  uint32_t features() const { return features_; }

  // A new record for a leader that has just been spawned; `ref` holds its placement and pidfd. Where it cannot be
  // watched, with an error: then it has to be discarded.
  Group* adopt(GroupRef&& ref, GroupOptions&& options, uint32_t owner, Error* error);
  // A record for a group that somebody else started. Null with an errno (ESRCH, EPERM ...) where it is not there.
  Group* attach(pid_t pgid, GroupOptions&& options, uint32_t owner, int* err);
  // A record for a guardian that has just been spawned; Started or Failed follows. Error: as above.
  Group* adopt_tree(pid_t guardian, Fd&& pidfd, Fd&& socket, GroupOptions&& options, uint32_t owner, Error* error);
  Group* find(uint64_t id);
  // Kills and forgets a group that cannot be watched. on_failed is told when nothing is left of it, or after
  // killWaitMs: a child that a tracer holds, or in uninterruptible sleep, is not waited for here.
  void discard(Group& group, const Error& error);
  size_t count() const { return live_; }
  size_t undecided() const;  // groups whose end is not known yet

  uint64_t longest_end() const;

  // May free the group.
  void begin(Group& group, Cause cause, bool kill);
  SignalResult signal(Group& group, int sig);
  void ask_members(Group& group);
  void release(Group& group);
  // Moves the end of the lease to `lease_ns` from now; 0: it ends now, kNever: there is none. False, and nothing is
  // moved, once a teardown has begun. An end that has passed counts as begun, whoever sees it first.
  bool renew(Group& group, uint64_t lease_ns);
  int pause(Group& group, bool on);  // 0 or a negative errno: on_paused follows
  void killer_failed(uint64_t id, int err);

  // All that belongs to `owner` (0: everything that is held) enters teardown, graces capped.
  void end_owner(uint32_t owner);

  // For the loop.
  uint64_t next_deadline() const { return timers_.next(); }
  void on_event(Token token);
  void on_timers(uint64_t now);
  void on_batch_end();  // what the events of a batch asked for: one look at the members, one scan of /proc
  bool batch_due() const { return census_due_ || sweep_due_; }
  // Without pidfds: the leader's exit was seen by a waiting thread.
  void on_leader_waitable(uint64_t id);

  enum TokenKind : uint8_t {
    kLeader = 1,
    kMember = 2,
    kForeign = 3,
    kGuardian = 4,
    kSocket = 5
  };  // kForeign: for the owner of the loop

 private:
  enum TimerKind : int32_t { kTimeout, kLadder, kRetry, kTracer, kLease, kLate };

  Group* allocate();
  void free_group(Group* group);
  void bury(Group* group);
  // leader.cc
  int wait_fd(const Fd& pidfd) const { return features_ & kFeatureWaitidPidfd ? pidfd.get() : -1; }
  bool exit_info(const Group& group, WaitStatus* status) const {
    return (features_ & kFeaturePidfdInfoExit) && group.ref.pidfd.valid() &&
           sys_pidfd_exit_info(group.ref.pidfd.get(), status) == 0;
  }
  void leader_ready(Group& group);
  void leader_exited(Group& group, ExitStatusKind kind);
  bool reap(Group& group);
  void reap_later(Group& group);
  void unwatch_leader(Group& group);
  void reap_without_group(pid_t child);
  void reap_late();
  void killer_ended(Group& killer);
  void take_terminal_back(Group& group);

  void start_lease(Group& group);
  void act(Group& group, LadderAction action);
  void send_step(Group& group);
  void finish(Group& group, bool empty, Evidence evidence);
  void watch_survivors(Group& group);
  void look_at_survivors(Group& group);

  // orders.cc
  int send_order(Group& group, Order type, int signal, Cause cause, bool kill, uint64_t cap);
  int send_owed(Group& group);
  void begin_tree(Group& group, Cause cause, bool kill);
  void ask_guardian(Group& group);
  // remote.cc
  void on_socket(Group& group);
  void on_news(Group& group, const NewsMessage& news, Fd&& pidfd);
  void on_guardian_exit(Group& group);
  void forget_guardian(Group& group);
  void lose_guardian(Group& group);
  void expect_end(Group& group);
  void hunt(Group& group);
  // lost.cc
  void leader_lost(Group& group);
  bool guardian_dead(const Group& group);
  void namespace_lost(Group& group);
  void namespace_stuck(Group& group);
  void namespace_survivors(Group& group);
  void namespace_ended(Group& group);
  void kill_leaf(const Group& group);
  bool leaf_empty(const Group& group);
  void remove_leaf(Group& group);

  // emptiness.cc
  void settle(Group& group);
  static bool nobody_found(const Vec<Group*>& due);
  bool pass(const Vec<Group*>& due);
  void give_up_zombie(Group& group);
  NumberState session_number(const Group& group);
  bool unseen_session(Group& group);
  void leave_running(Group& group);
  void guardian_overdue(Group& group, uint64_t now);
  void lose_zombie(Group& group);
  void request_census(Group& group);
  void retry_later(Group& group);
  void look_again_later(Group& group);
  void after_census(Group& group, uint64_t started, bool complete, bool exact);
  void no_live_member(Group& group, uint64_t started, bool exact);
  void lost_tree_unseen(Group& group);
  bool signal_members(Group& group);
  void run_killer(Group& group);
  void call_killer(Group& group, int sig, const Vec<pid_t>& pids);
  void name_survivors(Group& group, bool complete, bool exact);
  Watched* watch(Group& group, const ProcStat& member, ProcFs& proc);
  void unwatch(Group& group, size_t i);
  void sweep_members(Group& group);
  void drop_leavers(Group& group);
  // members.cc
  bool numeric(const Group& group) const { return group.ref.numeric_members || !(features_ & kFeaturePidfd); }
  bool still_ours(const Group& group, ProcFs& proc);
  int adopt_members(Group& group);
  int signal_once(Group& group, const ProcStat& member, ProcFs& proc, int sig, bool then_continue);
  int signal_known(Group& group, const ProcStat& member);
  void take_spare();
  void number_lost(Group& group);
  bool belongs(const Group& group, const ProcStat& process, ProcFs& proc);

  Listener* listener_;
  Reaper* reaper_;
  ProcFs proc_;         // the loop's: scans run without the lock
  ProcFs caller_proc_;  // signal() and attach(): under the lock, on the caller's thread
  Timers timers_;
  Timer late_timer_;
  Vec<pid_t> late_;    // children of ours, dead or dying, that no group waits for any more
  Vec<Group*> slots_;  // null: free
  Vec<uint32_t> generations_;
  Vec<uint32_t> free_slots_;
  size_t live_ = 0;
  uint32_t features_ = 0;
  int high_fd_ = -1;
  Fd spare_;             // its place is lent for one signal where the descriptor table is full
  int watch_error_ = 0;  // of the last watch()
  bool unsure_ = false;  // of the last still_ours()
  int unsure_failure_ = 0;
  bool census_due_ = false;
  bool sweep_due_ = false;
  bool scanning_ = false;  // the loop looks at groups without the lock
  Vec<Group*> graves_;     // freed meanwhile
};

}  // namespace procgroup
