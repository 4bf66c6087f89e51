#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "clone.h"
#include "kernel.h"
#include "lookup.h"
#include "namespaces.h"
#include "plan_memory.h"

namespace procgroup {
namespace {

constexpr int kBusyRetries = 6;  // after the in-flight clones have ended: 1, 2, 4 ... 32 ms

// Descriptors of one spawn on our side, closed in every end but the parent's halves of a successful one.
struct OpenStdio {
  Vec<FdMap> map;
  Vec<int> child_ends;
  int null = -1;  // one /dev/null serves every entry that is ignored
  ~OpenStdio() {
    for (int fd : child_ends) close(fd);
  }
};

void close_parent_ends(SpawnResult* result) {
  for (int& fd : result->parent_ends) {
    if (fd >= 0) close(fd);
    fd = -1;
  }
}

// O_NONBLOCK: opening a FIFO would wait for its other side. Whoever gets the descriptor expects a blocking one.
int open_file(const StdioSpec& spec, int from) {
  int fd = openat(from, spec.path, spec.flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, static_cast<mode_t>(spec.mode));
  if (fd < 0) return -errno;
  int flags = fcntl(fd, F_GETFL);
  if (flags >= 0) fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
  return fd;
}

int directory_of(const SpawnRequest& request) { return request.cwd_fd >= 0 ? request.cwd_fd : AT_FDCWD; }

Error open_one(const StdioSpec& spec, int target, int from, OpenStdio* open_stdio, SpawnResult* result) {
  int source = -1, parent = -1;
  switch (spec.kind) {
    case StdioKind::Ignore:
      if (open_stdio->null >= 0) {
        open_stdio->map.push({open_stdio->null, target});
        result->parent_ends.push(-1);
        return {};
      }
      source = open_stdio->null = open("/dev/null", O_RDWR | O_CLOEXEC);
      if (source < 0) return make_error(errno, Stage::Stdio, "open", target);
      break;
    case StdioKind::Pipe: {
      int ends[2];
      if (target > 2) {  // no direction is known: both
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
          return make_error(errno, Stage::Stdio, "socketpair", target);
        }
      } else if (pipe2(ends, O_CLOEXEC) != 0) {
        return make_error(errno, Stage::Stdio, "pipe2", target);
      }
      source = target == 0 ? ends[0] : ends[1];
      parent = target == 0 ? ends[1] : ends[0];
      break;
    }
    case StdioKind::Descriptor:
      if (spec.fd < 0 || fcntl(spec.fd, F_GETFD) < 0) {
        return make_error(spec.fd < 0 ? -spec.fd : errno, Stage::Stdio, "fcntl", target);
      }
      open_stdio->map.push({spec.fd, target});
      result->parent_ends.push(-1);
      return {};
    case StdioKind::Absent:
      result->parent_ends.push(-1);
      return {};
    case StdioKind::File:
      source = open_file(spec, from);
      if (source < 0) return make_error(-source, Stage::Stdio, "open", target);
      break;
  }
  open_stdio->child_ends.push(source);
  open_stdio->map.push({source, target});
  result->parent_ends.push(parent);
  return {};
}

// Above every target, so that no target is made on its number.
Error place_program(const SpawnRequest& request, OpenStdio* open_stdio, int* program) {
  *program = request.program_fd;
  int targets = static_cast<int>(request.stdio.size());
  if (*program < 0 || *program >= targets) return {};
  *program = fcntl(request.program_fd, F_DUPFD_CLOEXEC, targets);
  if (*program < 0) return make_error(errno, Stage::Stdio, "fcntl");
  open_stdio->child_ends.push(*program);
  return {};
}

Error open_terminal(SpawnResult* result) {
  result->tty.reset(open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY));
  if (!result->tty.valid()) return make_error(errno, Stage::Foreground, "open");
  result->tty_owner = tcgetpgrp(result->tty.get());
  if (result->tty_owner < 0) return make_error(errno, Stage::Foreground, "tcgetpgrp");
  return {};
}

bool needs_copy_of_table(const SpawnContext& context, const SpawnRequest& request, const OpenStdio& stdio, int program,
                         int tty) {
  if (!(context.features & kFeatureCloseRange) || context.high_fd < 0) return true;
  if (!request.close_strays && !request.leave_high) return true;
  if (program >= context.high_fd || tty >= context.high_fd || request.cwd_fd >= context.high_fd) return true;
  for (const FdMap& m : stdio.map) {
    if (m.source >= context.high_fd) return true;
  }
  return false;
}

// The verdict of a clone that came back: nothing, or the step that failed, with the child reaped.
Error verdict(ChildPlan* plan, pid_t pid) {
  if (plan->error == 0 && plan->stage == Stage::Exec) return {};
  Stage stage = plan->stage;
  Error error = make_error(plan->error, stage, syscall_of(stage), plan->error_index);
  WaitStatus status;
  sys_waitid_exit_blocking(pid, &status);  // ECHILD where somebody else reaps: gone all the same
  if (error.err == 0) error.term_signal = status.signal != 0 ? status.signal : SIGKILL;
  return error;
}

// ENOENT for a file that is there: its interpreter (or loader) is not.
void find_missing_interpreter(const ChildPlan& plan, const Candidates& candidates, int from, Error* error) {
  if (error->stage != Stage::Exec || error->err != ENOENT || plan.cwd != nullptr || plan.program_fd >= 0) return;
  if (faccessat(from, candidates.paths[0], F_OK, 0) == 0) error->index = -2;
}

}  // namespace

void spawn(SpawnContext& context, SpawnRequest& request, SpawnHooks& hooks, SpawnResult* result) {
  OpenStdio stdio;
  for (size_t i = 0; i < request.stdio.size() && !result->error.failed(); i++) {
    result->error = open_one(request.stdio[i], static_cast<int>(i), directory_of(request), &stdio, result);
  }
  if (!result->error.failed() && request.foreground) result->error = open_terminal(result);
  int program = -1;
  if (!result->error.failed()) result->error = place_program(request, &stdio, &program);
  Candidates candidates;
  if (!result->error.failed() && program < 0) {
    bool other = request.uid != -1 || request.gid != -1;
    int r = find_program(request.file, path_of(request.envp), request.cwd, &candidates, other, directory_of(request));
    if (r < 0) result->error = make_error(-r, Stage::Lookup, "execve");
  }
  if (result->error.failed()) {
    close_parent_ends(result);
    return;
  }

  Vec<char*> sh_argv;
  sh_argv.push(const_cast<char*>("/bin/sh"));
  sh_argv.push(nullptr);
  for (int i = 1; i < request.argc; i++) sh_argv.push(request.argv[i]);
  sh_argv.push(nullptr);

  PlanMemory memory(request);
  if (memory.plan == nullptr) {
    result->error = make_error(ENOMEM, Stage::Clone, "mmap");
    close_parent_ends(result);
    return;
  }
  ChildPlan& plan = *memory.plan;
  plan.candidates = candidates.paths.data();
  plan.program_fd = program;
  plan.argv = request.argv;
  plan.envp = request.envp;
  plan.sh_argv = request.script ? sh_argv.data() : nullptr;
  plan.cwd = request.cwd;
  plan.cwd_fd = request.namespaces ? -1 : request.cwd_fd;
  plan.fds = stdio.map.data();
  plan.fd_count = static_cast<int32_t>(stdio.map.size());
  plan.scratch_from = static_cast<int32_t>(request.stdio.size());
  plan.close_strays = request.close_strays;
  plan.isolation = request.isolation;
  plan.tty = result->tty.get();
  plan.parent_death_signal = request.parent_death_signal;
  plan.parent_pid = getpid();
  plan.join_pgid = 0;
  plan.uid = request.uid;
  plan.gid = request.gid;
  plan.group_count = request.group_count;
  plan.groups = request.groups;
  plan.chdir_first = request.chdir_first;
  plan.verdict_fd = plan.cgroup_fd = plan.cgroup_procs_fd = -1;
  plan.signal_mask = request.signal_mask;
  plan.umask = request.umask;
  plan.nice = request.nice;
  plan.oom_score_adj = request.oom_score_adj;
  plan.rlimits = request.rlimits.data();
  plan.rlimit_count = static_cast<int32_t>(request.rlimits.size());
  plan.keep_ignored = request.keep_ignored;

  IdMaps maps;
  if (request.namespaces) {
    plan.namespaces = kNewPid | kNewNs;
    result->user_namespace = !has_sys_admin();
    if (result->user_namespace) {
      plan.namespaces |= kNewUser;
      maps.fill();
      plan.uid_map = maps.uid, plan.gid_map = maps.gid;
    }
  }
  for (int busy = 0;;) {
    plan.have_close_range = (context.features & kFeatureCloseRange) != 0;
    plan.unshare_from = needs_copy_of_table(context, request, stdio, program, result->tty.get()) ? -1 : context.high_fd;
    // Of an earlier try: they may be somebody else's by now. Others read them from enter_clone on.
    plan.pid = 0;
    plan.pidfd = -1;
    if (!hooks.enter_clone(&plan)) {
      result->error = make_error(ECANCELED, Stage::Clone, "clone");
      break;
    }
    long pid = clone_once(context, &plan, &result->used_clone3);
    hooks.leave_clone();
    if (pid < 0) {
      bool namespaces = plan.namespaces != 0 && pid != -EAGAIN && pid != -ENOMEM;
      result->error = make_error(static_cast<int>(-pid), namespaces ? Stage::Namespace : Stage::Clone, "clone");
      break;
    }
    Fd pidfd(plan.pidfd);
    result->error = verdict(&plan, static_cast<pid_t>(pid));
    if (!result->error.failed()) {
      result->pid = static_cast<pid_t>(pid);
      result->pgid = plan.pgid;
      result->sid = plan.sid;
      // Not yet reaped by us, so its number is its own; a foreign wait leaves us without a pidfd, not with a wrong one.
      if (!pidfd.valid() && (context.features & kFeaturePidfd)) pidfd.reset(sys_pidfd_open(result->pid));
      result->pidfd.reset(move_high(pidfd.release(), context.high_fd));
      return;
    }
    if (result->error.stage == Stage::FdTable) {  // shared table not unshared: the child touched nothing
      context.features &= ~kFeatureCloseRange;
      result->error = {};
      continue;
    }
    // A clone elsewhere may hold a copy of a descriptor that writes to the program, until its own exec.
    if (result->error.err != ETXTBSY || busy >= kBusyRetries) break;
    hooks.wait_for_other_clones();
    if (busy > 0) {
      struct timespec pause = {0, 1000000L << (busy - 1)};
      nanosleep(&pause, nullptr);
    }
    busy++;
  }
  find_missing_interpreter(plan, candidates, directory_of(request), &result->error);
  // A child that failed after taking the terminal's foreground: give it back.
  if (result->tty.valid() && result->tty_owner > 0) tcsetpgrp(result->tty.get(), result->tty_owner);
  close_parent_ends(result);
}

}  // namespace procgroup
