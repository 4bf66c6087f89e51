// One contained tree: its command, its ladder, its end. A single-threaded machine over signalfd and ppoll that never
// blocks. guard_start.cc has what comes before exec, guard.cc the rest.
#pragma once
#include <poll.h>
#include <stdint.h>

#include "box.h"
#include "core/protocol.h"
#include "core/teardown.h"
#include "core/timers.h"
#include "leader.h"
#include "tree.h"

namespace procgroup {

uint64_t from_now(uint64_t ns);

enum class GuardState : uint8_t { Starting, Running, LeaderExited, Draining, Empty, Survivors };

// Who is told: the supervisor's socket, or the command line's own report.
class GuardListener {
 public:
  virtual void on_started(const Leader& leader) = 0;
  virtual void on_failed(const Error& error) = 0;
  // `status.ready` is false where the leader is dead but held by a tracer that does not wait.
  virtual void on_exited(const WaitStatus& status) = 0;
  virtual void on_stopped(int signal) = 0;  // 0: continued
  virtual void on_draining(Cause cause) = 0;
  virtual void on_refused(int pid, int signal) = 0;  // for the privileged killer; pid 0 ends the list
  virtual void on_gone(const Report& report) = 0;

 protected:
  ~GuardListener() = default;
};

class Guard {
 public:
  explicit Guard(GuardListener* listener) : listener_(listener) {}

  // Becomes the subreaper, in a group of its own. Our descriptors are placed at or above `high_fd` (-1: where they
  // come). 0 or a negative errno. Every signal must be blocked.
  int prepare(bool own_group, int high_fd, Scope scope = Scope::Tree);
  // Before start(): a containment of the kernel's.
  void enter(Box* box) { box_ = box; }
  Box* box() const { return box_; }
  void start(const Command& command, const Config& config, uint64_t keep_ignored, int tty, uint64_t signal_mask = 0);

  int signal_fd() const { return signals_.get(); }
  // Changes when the command is started again; -1 while no verdict is awaited.
  int verdict_fd() const { return started_ ? -1 : leader_.verdict_fd(); }
  // What no SIGCHLD tells, -1: nothing. Scope::Group: the pidfd of a member. A box: its news. Call on_watch() then.
  int watch_fd() const { return box_ != nullptr ? box_->watch_fd() : watched_.get(); }
  short watch_events() const { return box_ != nullptr ? POLLPRI : POLLIN; }
  void on_watch();

  // The leader's pidfd while its end is awaited: a tracer may keep SIGCHLD from us. Readable: call on_leader_dead().
  int leader_fd() const { return started_ && !leader_exited_ && held_deadline_ == kNever ? leader_.pidfd() : -1; }

  void on_child();  // SIGCHLD
  void on_leader_dead();
  void on_verdict();  // verdict_fd() is readable
  // Reads it where it is there. True once it is settled.
  bool hear_verdict();
  // Before exec there is nothing to be graceful to: what has not become the command yet is killed, and on_failed
  // follows.
  void begin(Cause cause, bool kill, uint64_t grace_cap_ns);
  void supervisor_ended();  // nobody hears of survivors from now on
  int forward(int sig);     // to the leader's group only; 0 or a negative errno
  uint64_t deadline() const;
  void on_deadline(uint64_t now);

  GuardState state() const { return state_; }
  bool verdict_settled() const { return started_; }
  // Once verdict_settled(), at leisure.
  void release_start() {
    leader_.release_stack();
    if (box_ != nullptr) box_->settle();
  }
  // What ended the command before exec; None: nothing has.
  Cause early_cause() const { return early_cause_; }
  bool done() const { return state_ == GuardState::Empty || state_ == GuardState::Survivors; }
  const Leader& leader() const { return leader_; }
  bool leader_exited() const { return leader_exited_; }
  Tree& tree();
  void release() { released_ = true, timeout_deadline_ = kNever; }
  bool released() const { return released_; }

 private:
  void end_start(Cause cause, bool kill, uint64_t grace_cap_ns);
  void start_over();
  void start_failed(Error error);
  void on_start_deadline(uint64_t now);
  void act(LadderAction action);
  void send_step();
  void reap();
  void leader_ended(const WaitStatus& status);
  bool empty();
  bool group_empty();
  void settle();
  void finish(bool empty);
  void fail(const Error& error);
  bool may_kill_somebody();
  void kill_unheard();
  void name_survivors();
  void tell_refused(int sig);

  GuardListener* listener_;
  Tree tree_;
  Leader leader_;
  Ladder ladder_;
  Report report_;
  Box* box_ = nullptr;
  Fd signals_;
  Fd watched_;
  Scope scope_ = Scope::Tree;
  bool session_ = false;
  GuardState state_ = GuardState::Starting;
  bool started_ = false;
  bool leader_exited_ = false;
  bool released_ = false;
  bool unheard_ = false;  // the supervisor is dead
  bool killer_ = false;
  bool tree_open_ = false;
  int high_fd_ = -1;
  int spared_ = 0;
  bool nobody_left_ = false;  // ECHILD: the kernel's own word
  WaitStatus exit_;
  Cause early_cause_ = Cause::None;  // asked for before the command had started
  bool early_kill_ = false;
  uint64_t early_cap_ns_ = 0;
  uint64_t teardown_start_ = 0;
  uint64_t ladder_deadline_ = kNever;
  uint64_t timeout_deadline_ = kNever;
  uint64_t round_deadline_ = kNever;
  uint64_t round_pause_ = 0;
  uint64_t rounds_from_ = 0;  // of killing, at the latest
  uint64_t again_deadline_ = kNever;
  uint64_t reap_deadline_ = kNever;  // there may be more zombies than one round takes
  uint64_t held_deadline_ = kNever;  // the leader is dead and not waitable: looked at again then
  int held_ = 0;
  uint64_t start_deadline_ = kNever;  // a child that was killed before exec, or has failed, must be gone by then
  uint64_t kill_wait_ns_ = 0;
  bool verdict_read_ = false;  // it failed: its zombie is still to be taken
  int busy_ = 0;               // times that the program was busy being written
};

}  // namespace procgroup
