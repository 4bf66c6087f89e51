// A containment that the kernel keeps, around a tree: what it adds to a guardian. A guardian of a plain tree has none,
// and never touches the code behind this (native/guardian/sections.ld).
#pragma once
#include "core/cgroup.h"
#include "core/child.h"
#include "core/procfs.h"
#include "core/protocol.h"
#include "core/report.h"

namespace procgroup {

class Leader;

constexpr size_t kBoxFds = 4;

class Box {
 public:
  // Starts the command inside. As clone_child; -EINVAL or -EPERM: a plain clone will do.
  virtual long clone(uint64_t flags, const ChildStack& stack, ChildPlan* plan) = 0;

  // Readable with POLLPRI when something has changed, which on_event() takes; -1: nothing to wait for.
  virtual int watch_fd() const = 0;
  virtual void on_event() = 0;

  // Once the supervisor has been told of the start: what can wait until then.
  virtual void settle() = 0;
  // The leader's numbers, as the supervisor knows them.
  virtual void on_started(NewsMessage* news) = 0;

  // Members that are no descendants of ours.
  virtual void add_members(ProcFs& proc, Vec<ProcStat>* members) = 0;
  // Nobody is left, now that no child is: and what proves it.
  virtual bool empty(Evidence* evidence) = 0;
  // Before the first signal of a teardown: who is paused would not act on it.
  virtual void wake_up() = 0;
  // SIGKILL to all at once. True: the guardian's own round is to follow, there are others.
  virtual bool kill_round() = 0;
  // The end, in every case: whatever was made is removed. What the report names is in the supervisor's numbers then.
  virtual void close(Report* report) = 0;

  // Bits of the limits that a member has run into.
  virtual uint32_t limits_hit() = 0;
  // 0 or a negative errno. Done once paused() says so.
  virtual int pause(bool on) = 0;
  virtual bool paused() const = 0;

  // It has a tracer that our own /proc does not show.
  virtual bool traced(pid_t pid) = 0;

  // Descriptors that are the box's own: at most kBoxFds.
  virtual size_t descriptors(int* out) const = 0;

  // What the supervisor is to be told of processes: in its own numbers.
  virtual void translate(Vec<ProcStat>* processes) = 0;

 protected:
  ~Box() = default;
};

// Makes the box that the orders ask for. Its words wait on the socket, behind the orders.
Error open_box(const Config& config, int socket, int high_fd, Box** out);
// A leaf below `parent`, which is taken over.
// We are init of a PID namespace; `proc` is a /proc from outside.
Error open_namespace_box(Fd&& proc, Box** out);
Error open_cgroup_box(Fd&& parent, const char* leaf, const Limits& limits, int high_fd, Box** out);

}  // namespace procgroup
