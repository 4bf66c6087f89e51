// Containment `namespace`: we are init of a PID namespace, and when we end the kernel ends everybody in it.
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "box.h"
#include "core/cgroup.h"
#include "core/group.h"
#include "core/kernel.h"
#include "core/text.h"

namespace procgroup {
namespace {

constexpr uint64_t kPidfd = 0x1000;  // CLONE_PIDFD

class NamespaceBox final : public Box {
 public:
  explicit NamespaceBox(Fd&& proc) { outside_.use(static_cast<Fd&&>(proc)); }

  long clone(uint64_t flags, const ChildStack& stack, ChildPlan* plan) override;
  int watch_fd() const override { return -1; }
  void on_event() override {}
  void settle() override {}
  void on_started(NewsMessage* news) override;
  void add_members(ProcFs& proc, Vec<ProcStat>* members) override;
  bool empty(Evidence* evidence) override {
    *evidence = Evidence::Namespace;
    return true;
  }
  void wake_up() override {}
  bool kill_round() override { return kill_namespace(SIGKILL) == -EPERM; }
  void close(Report* report) override;
  uint32_t limits_hit() override { return 0; }
  int pause(bool) override { return -ENOTSUP; }
  bool paused() const override { return false; }
  void translate(Vec<ProcStat>* processes) override;
  bool traced(pid_t pid) override {
    Fd pidfd(sys_pidfd_open(pid));
    return outside_.tracer(outer_pid(pidfd.get())) != 0;
  }
  size_t descriptors(int* out) const override {
    out[0] = outside_.directory();
    return 1;
  }

 private:
  pid_t outer_pid(int pidfd);

  ProcFs outside_;
  pid_t leader_ = 0;  // its number outside
};

// What a pidfd is called outside: the outer /proc shows it in its own numbers. proc(5), /proc/PID/fdinfo.
pid_t NamespaceBox::outer_pid(int pidfd) {
  Vec<char> path;
  append("self/fdinfo/", &path);
  append_number(static_cast<uint64_t>(pidfd), &path);
  path.push(0);
  char text[512];
  if (pidfd < 0 || read_cgroup(outside_.directory(), path.data(), text, sizeof text) < 0) return 0;
  const char* at = strstr(text, "Pid:\t");
  int64_t pid = at == nullptr ? -1 : cgroup_value(at + 5, "");
  return pid > 0 ? static_cast<pid_t>(pid) : 0;
}

// It cannot have been reaped yet, so its number is its own.
long NamespaceBox::clone(uint64_t flags, const ChildStack& stack, ChildPlan* plan) {
  long pid = clone_child(flags | kPidfd, stack, plan);
  if (pid < 0) return pid;
  Fd own;
  if (plan->pidfd < 0) own.reset(sys_pidfd_open(static_cast<pid_t>(pid)));
  leader_ = outer_pid(own.valid() ? own.get() : plan->pidfd);
  return pid;
}

void NamespaceBox::on_started(NewsMessage* news) {
  news->index = news->pid;
  ProcStat stat;
  bool seen = outside_.stat(leader_, &stat);
  bool session = news->sid == news->pid;
  news->pid = news->pgid = leader_;
  news->sid = seen ? stat.sid : session ? leader_ : 0;
}

// Whoever came in from outside, by setns(2).
void NamespaceBox::add_members(ProcFs& proc, Vec<ProcStat>* members) {
  size_t descendants = members->size();
  proc.scan([&](const ProcStat& process) {
    bool known = process.pid == getpid() || !process.alive();
    for (size_t i = 0; i < descendants && !known; i++) known = (*members)[i].pid == process.pid;
    if (!known) members->push(process);
  });
}

void NamespaceBox::translate(Vec<ProcStat>* processes) {
  for (size_t i = processes->size(); i-- > 0;) {
    Fd pidfd(sys_pidfd_open((*processes)[i].pid));
    ProcStat stat;
    if (outside_.stat(outer_pid(pidfd.get()), &stat))
      (*processes)[i] = stat;
    else if (!pidfd.valid())
      processes->remove_swap(i);
  }
}

void NamespaceBox::close(Report* report) {
  for (SurvivorRecord& survivor : report->survivors) {
    Fd pidfd(sys_pidfd_open(survivor.stat.pid));
    outside_.stat(outer_pid(pidfd.get()), &survivor.stat);
  }
}

alignas(NamespaceBox) char g_box[sizeof(NamespaceBox)];

}  // namespace

Error open_namespace_box(Fd&& proc, Box** out) {
  if (getpid() != 1) return make_error(EPROTO, Stage::Namespace, "getpid");
  *out = new (Place{g_box}) NamespaceBox(static_cast<Fd&&>(proc));
  return {};
}

}  // namespace procgroup
