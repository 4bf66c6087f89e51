// Containment `cgroup`: a leaf of the cgroup v2 hierarchy. The guardian stays outside and is the subreaper as well: a
// member with the right to do so may move itself out of the leaf.
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "box.h"
#include "core/kernel.h"
#include "core/spawn.h"
#include "core/text.h"

namespace procgroup {
namespace {

constexpr uint64_t kPidfd = 0x1000;              // CLONE_PIDFD
constexpr uint64_t kKillTakesHold = 20'000'000;  // 20 ms from cgroup.kill: who is still there then has left the leaf

class CgroupBox final : public Box {
 public:
  Error open(Fd&& parent, const char* leaf, const Limits& limits, int high_fd);

  long clone(uint64_t flags, const ChildStack& stack, ChildPlan* plan) override;
  int watch_fd() const override { return events_.get(); }
  void on_event() override;
  void settle() override;
  void on_started(NewsMessage*) override {}
  void add_members(ProcFs& proc, Vec<ProcStat>* members) override;
  bool empty(Evidence* evidence) override;
  void wake_up() override;
  bool kill_round() override;
  void close(Report* report) override;
  uint32_t limits_hit() override;
  int pause(bool on) override;
  bool paused() const override { return frozen_; }
  void translate(Vec<ProcStat>*) override {}
  bool traced(pid_t) override { return false; }
  size_t descriptors(int* out) const override {
    const int own[] = {parent_.get(), leaf_.get(), events_.get(), procs_.get()};
    memcpy(out, own, sizeof own);
    return sizeof own / sizeof *own;
  }

 private:
  Error set(const char* file, const char* value, int index);
  void count(Vec<int64_t>* usage) const;
  void read_events();
  int64_t number(const char* file, const char* key) const;

  Fd parent_;
  Fd leaf_;
  Fd events_;  // cgroup.events: who has read it is told of the next change
  Fd procs_;   // cgroup.procs, where the clone into a cgroup is refused
  Vec<char> name_;
  int high_fd_ = -1;
  bool populated_ = false;
  bool frozen_ = false;
  bool refused_ = false;
  uint64_t killed_at_ = 0;
};

Error CgroupBox::open(Fd&& parent, const char* leaf, const Limits& limits, int high_fd) {
  parent_ = static_cast<Fd&&>(parent);
  high_fd_ = high_fd;
  append(leaf, &name_);
  name_.push(0);
  if (mkdirat(parent_.get(), leaf, 0755) != 0) return make_error(errno, Stage::Cgroup, "mkdir");
  leaf_.reset(move_high(openat(parent_.get(), leaf, O_RDONLY | O_DIRECTORY | O_CLOEXEC), high_fd));
  Error error;
  if (!leaf_.valid()) error = make_error(errno, Stage::Cgroup, "open");
  for (size_t i = 0; i + 1 < limits.size() && !error.failed(); i += 2) {
    error = set(limits[i], limits[i + 1], static_cast<int>(i / 2));
  }
  if (error.failed()) remove_cgroup(parent_.get(), leaf);
  return error;
}

// A file that is not there belongs to a controller that the parent does not hand down yet.
Error CgroupBox::set(const char* file, const char* value, int index) {
  // A write of nothing succeeds, and sets nothing.
  int r = *value == 0 ? -EINVAL : write_cgroup(leaf_.get(), file, value);
  char controller[32];
  controller_of(file, controller, sizeof controller);
  if (r == -ENOENT && controller[0] != 0) {
    char word[34] = "+";
    strcpy(word + 1, controller);
    r = write_cgroup(parent_.get(), "cgroup.subtree_control", word);
    if (r < 0) return make_error(-r, Stage::Cgroup, "subtree_control", index);
    r = write_cgroup(leaf_.get(), file, value);
  }
  return r < 0 ? make_error(-r, Stage::Cgroup, r == -ENOENT ? "open" : "write", index) : Error{};
}

// Born inside. Where clone3 or its newer form is refused (a seccomp filter, Linux before 5.7), the child moves itself
// before exec.
long CgroupBox::clone(uint64_t flags, const ChildStack& stack, ChildPlan* plan) {
  if (!refused_) {
    plan->cgroup_fd = leaf_.get();
    long pid = clone3_child(flags | kPidfd | kCloneIntoCgroup, stack, plan);
    if (pid != -ENOSYS && pid != -E2BIG && pid != -EINVAL && pid != -EPERM) return pid;
    refused_ = true;
  }
  if (!procs_.valid()) procs_.reset(openat(leaf_.get(), "cgroup.procs", O_WRONLY | O_CLOEXEC));
  if (!procs_.valid()) return -errno;
  plan->cgroup_procs_fd = procs_.get();
  return clone_child(flags | kPidfd, stack, plan);
}

void CgroupBox::settle() {
  flock(leaf_.get(), LOCK_EX | LOCK_NB);  // held as long as we live: whoever sweeps leaves it alone
  events_.reset(move_high(openat(leaf_.get(), "cgroup.events", O_RDONLY | O_CLOEXEC), high_fd_));
  read_events();
}

void CgroupBox::on_event() {
  if (events_.valid())
    read_events();
  else
    settle();
}

void CgroupBox::read_events() {
  if (!events_.valid()) {  // the descriptor table is full, or the leaf is gone
    populated_ = cgroup_populated(leaf_.get()) != 0;
    return;
  }
  char text[256];
  ssize_t n = pread(events_.get(), text, sizeof text - 1, 0);
  text[n > 0 ? n : 0] = 0;
  bool removed = n < 0 && errno == ENODEV;  // by somebody: it was empty
  populated_ = !removed && cgroup_value(text, "populated") != 0;
  frozen_ = cgroup_value(text, "frozen") == 1;
  if (removed) events_.reset();  // poll would report it for ever
}

void CgroupBox::add_members(ProcFs& proc, Vec<ProcStat>* members) {
  Vec<int> pids;
  cgroup_processes(leaf_.get(), &pids);
  size_t descendants = members->size();
  for (int pid : pids) {
    bool known = false;
    for (size_t i = 0; i < descendants && !known; i++) known = (*members)[i].pid == pid;
    ProcStat stat;
    if (!known && proc.stat(pid, &stat) && stat.alive() && in_cgroup(proc, pid, name_.data())) members->push(stat);
  }
}

bool CgroupBox::empty(Evidence* evidence) {
  on_event();
  *evidence = Evidence::Populated;
  return !populated_;
}

int CgroupBox::pause(bool on) {
  int r = write_cgroup(leaf_.get(), "cgroup.freeze", on ? "1" : "0");
  on_event();
  return r;
}

void CgroupBox::wake_up() { pause(false); }

// One write reaches all of them, also those that are being forked. Since Linux 5.14; before, and for who has moved out,
// the guardian's own rounds.
bool CgroupBox::kill_round() {
  on_event();
  uint64_t now = now_ns();
  if (!populated_ || (killed_at_ != 0 && now - killed_at_ > kKillTakesHold)) return true;
  if (killed_at_ == 0) killed_at_ = now;
  return write_cgroup(leaf_.get(), "cgroup.kill", "1") < 0;
}

int64_t CgroupBox::number(const char* file, const char* key) const {
  char text[1024];
  return read_cgroup(leaf_.get(), file, text, sizeof text) < 0 ? -1 : cgroup_value(text, key);
}

uint32_t CgroupBox::limits_hit() {
  uint32_t hit = 0;
  if (number("memory.events", "oom_kill") > 0) hit |= kHitMemory;
  if (number("pids.events", "max") > 0) hit |= kHitPids;
  return hit;
}

void CgroupBox::count(Vec<int64_t>* usage) const {
  usage->resize(kUsageNumbers);
  int64_t* numbers = usage->data();
  numbers[kMemory] = number("memory.current", "");
  numbers[kMemoryPeak] = number("memory.peak", "");
  numbers[kPids] = number("pids.current", "");
  numbers[kPidsPeak] = number("pids.peak", "");
  numbers[kCpuUser] = number("cpu.stat", "user_usec");
  numbers[kCpuSystem] = number("cpu.stat", "system_usec");
  numbers[kIoRead] = numbers[kIoWrite] = -1;
  numbers[kOomKills] = number("memory.events", "oom_kill");
  numbers[kPidsRefused] = number("pids.events", "max");
  char text[4096];
  if (read_cgroup(leaf_.get(), "io.stat", text, sizeof text) < 0) return;
  numbers[kIoRead] = numbers[kIoWrite] = 0;
  static constexpr struct {
    char key[8];
    UsageNumber number;
  } sums[] = {{"rbytes=", kIoRead}, {"wbytes=", kIoWrite}};
  for (const auto& sum : sums) {  // one line a device
    for (const char* at = text; (at = strstr(at, sum.key)) != nullptr;) {
      at += strlen(sum.key);
      int64_t value = cgroup_value(at, "");
      if (value > 0) numbers[sum.number] += value;
    }
  }
}

void CgroupBox::close(Report* report) {
  count(&report->usage);
  events_.reset();
  if (remove_cgroup(parent_.get(), name_.data()) < 0) report->notes |= kNoteCgroupLeft;
}

alignas(CgroupBox) char g_box[sizeof(CgroupBox)];

}  // namespace

Error open_cgroup_box(Fd&& parent, const char* leaf, const Limits& limits, int high_fd, Box** out) {
  auto* box = new (Place{g_box}) CgroupBox;
  Error error = box->open(static_cast<Fd&&>(parent), leaf, limits, high_fd);
  if (!error.failed()) *out = box;
  return error;
}

}  // namespace procgroup
