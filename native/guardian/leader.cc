#include "leader.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "box.h"
#include "core/kernel.h"
#include "core/procfs.h"
#include "core/spawn.h"

namespace procgroup {
namespace {

constexpr uint64_t kVm = 0x100, kPidfd = 0x1000;  // CLONE_ flags

// One child at a time runs on it. No guard page, which would cost two more calls: the build refuses a frame of the
// child's half that comes near this size.
// The linker scripts (sections.ld) give it pages of its own, by its name.
alignas(16) char g_child_stack[20 * 1024];

}  // namespace

Error Leader::start(const Command& command, const Config& config, uint64_t keep_ignored, int tty, int high_fd,
                    uint64_t signal_mask, Box* box) {
  box_ = box;
  int r = find_program(command.file, path_of(command.envp), command.cwd, &candidates_);
  if (r < 0) return make_error(-r, Stage::Lookup, "execve");
  high_fd_ = high_fd;
  sh_argv_.push(const_cast<char*>("/bin/sh"));
  sh_argv_.push(nullptr);
  for (int i = 1; i < command.argc; i++) sh_argv_.push(command.argv[i]);
  sh_argv_.push(nullptr);
  for (int fd = 0; fd < config.stdio_count; fd++) fds_.push({fd, fd});

  plan_.candidates = candidates_.paths.data();
  plan_.argv = command.argv;
  plan_.envp = command.envp;
  plan_.sh_argv = sh_argv_.data();
  plan_.cwd = command.cwd;
  plan_.fds = fds_.data();
  plan_.fd_count = config.stdio_count;
  plan_.scratch_from = config.stdio_count;
  plan_.unshare_from = -1;
  plan_.close_strays = 0;  // what is open here is CLOEXEC, or was meant for the command
  plan_.isolation = static_cast<Isolation>(config.isolation);
  plan_.join_pgid = config.isolation == 0 ? config.inherit_pgid : 0;
  plan_.tty = tty;
  plan_.parent_death_signal = config.parent_death_signal;
  plan_.parent_pid = getpid();
  plan_.umask = config.umask;
  plan_.nice = config.nice;
  plan_.oom_score_adj = config.oom_score_adj;
  plan_.rlimits = config.rlimits;
  plan_.rlimit_count = config.rlimit_count;
  plan_.keep_ignored = keep_ignored;
  plan_.signal_mask = signal_mask;
  plan_.uid = config.uid;
  plan_.gid = config.gid;
  plan_.group_count = config.group_count;
  plan_.groups = config.groups;
  return clone();
}

Error Leader::start_again() {
  placed_ = {};
  error_ = {};
  plan_.error = 0;
  return clone();
}

Error Leader::clone() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return make_error(errno, Stage::Guardian, "pipe2");
  verdict_.reset(move_high(ends[0], high_fd_));
  Fd child_end(ends[1]);
  // A child that changes its uid must not share our memory: it would make us undumpable, and could be traced into. One
  // that does share it leaves its verdict in the plan; the pipe's end alone then tells when to read it.
  shared_ = plan_.uid == -1 && plan_.gid == -1 && plan_.group_count == -1;
  plan_.verdict_fd = shared_ ? -1 : child_end.get();
  plan_.pidfd = plan_.cgroup_fd = plan_.cgroup_procs_fd = -1;
  plan_.stage = Stage::Clone;
  uint64_t flags = shared_ ? kVm : 0;
  const ChildStack stack = {g_child_stack, sizeof g_child_stack};
  long pid = box_ != nullptr ? box_->clone(flags, stack, &plan_) : clone_child(flags | kPidfd, stack, &plan_);
  if (pid == -EINVAL || pid == -EPERM || pid == -ENOSYS) pid = clone_child(flags, stack, &plan_);
  if (pid < 0) return make_error(static_cast<int>(-pid), Stage::Clone, "clone");
  pid_ = static_cast<pid_t>(pid);
  pidfd_.reset(move_high(plan_.pidfd >= 0 ? plan_.pidfd : sys_pidfd_open(pid_), high_fd_));
  return {};
}

// A process that has not called execve(2) successfully since its fork bears a flag, also as a zombie. proc(5), flags.
bool Leader::executed() const {
  ProcFs proc;
  ProcStat stat;
  return !proc.open(-1) || !proc.stat(pid_, &stat) || !(stat.flags & kPfForkNoExec);
}

// With memory of its own it says where it is only when it comes to exec.
void Leader::give_up() {
  Stage said = static_cast<Stage>(placed_.stage);
  Stage stage = shared_ || said == Stage::None ? static_cast<Stage>(plan_.stage) : said;
  error_ = make_error(0, stage, syscall_of(stage));
  error_.term_signal = SIGKILL;
}

bool Leader::read_verdict(bool killed) {
  Verdict verdict;
  for (;;) {
    ssize_t n = read(verdict_.get(), &verdict, sizeof verdict);
    if (n < 0 && errno == EINTR) continue;
    if (n == static_cast<ssize_t>(sizeof verdict)) {
      placed_ = verdict;
      if (verdict.error == 0) return false;  // about to exec: the end of file, or a failure, follows
    } else if (shared_) {
      placed_ = {static_cast<int32_t>(plan_.stage), plan_.error, plan_.error_index, plan_.pgid, plan_.sid};
    }
    break;
  }
  Stage stage = static_cast<Stage>(placed_.stage);
  if (placed_.error != 0) {
    error_ = make_error(placed_.error, stage, syscall_of(stage), placed_.error_index);
    if (error_.err == ENOENT && stage == Stage::Exec && plan_.cwd == nullptr &&
        access(candidates_.paths[0], F_OK) == 0) {
      error_.index = -2;
    }
  } else if (stage != Stage::Exec || (killed && !executed())) {  // killed on its way there
    give_up();
  }
  return true;
}

void Leader::release_stack() {
  verdict_.reset();
  constexpr uintptr_t kPage = 4096;  // where pages are larger this frees nothing: EINVAL
  uintptr_t first = (reinterpret_cast<uintptr_t>(g_child_stack) + kPage - 1) & ~(kPage - 1);
  uintptr_t end = reinterpret_cast<uintptr_t>(g_child_stack + sizeof g_child_stack) & ~(kPage - 1);
  madvise(reinterpret_cast<void*>(first), end - first, MADV_DONTNEED);
#ifndef __SANITIZE_ADDRESS__  // whose madvise has frames of its own
  // And what the start has used of our own, far enough below this frame.
  constexpr uintptr_t kDeepest = 64 << 10;
  uintptr_t unused = (reinterpret_cast<uintptr_t>(__builtin_frame_address(0)) - 1024) & ~(kPage - 1);
  madvise(reinterpret_cast<void*>(unused - kDeepest), kDeepest, MADV_DONTNEED);
#endif
}

}  // namespace procgroup
