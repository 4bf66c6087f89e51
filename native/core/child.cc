// Between clone and exec. This code runs in a process that shares its parent's memory (CLONE_VM) while the parent's
// spawning thread is suspended and its other threads run on. It must therefore not
//   - call into libc: wrappers write the parent's errno and may take locks that another thread holds;
//   - allocate, take a lock, or touch thread-local state;
//   - return from run_child: the frames below it belong to nobody.
// Only inline system calls on the plan are left. Signals are all blocked on entry and the dispositions are reset before
// the mask is cleared, so that no handler of the parent can run here. The file is built without sanitizers and without
// a stack protector; a test holds its undefined symbols against an empty list.
#include "child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>

#include "child_attributes.h"
#include "child_containment.h"
#include "child_descriptors.h"
#include "child_syscall.h"

namespace procgroup {
namespace {

constexpr long kPrSetPdeathsig = 1;
constexpr long kTiocspgrp = 0x5410;
constexpr unsigned kCloseRangeUnshare = 2;
constexpr long kAtEmptyPath = 0x1000;
constexpr int kLastSignal = 64;
constexpr int kSigkill = 9, kSigstop = 19;

// struct sigaction as the kernel takes it on both architectures.
struct KernelSigaction {
  unsigned long handler;
  unsigned long flags;
  unsigned long restorer;
  uint64_t mask;
};

CHILD_INLINE void reset_signals(ChildPlan* p) {
  p->stage = Stage::Signals;
  for (int sig = 1; sig <= kLastSignal; sig++) {
    if (sig == kSigkill || sig == kSigstop) continue;
    if ((p->keep_ignored >> (sig - 1)) & 1) continue;
    KernelSigaction act;
    act.handler = 0;  // SIG_DFL; field by field, so that no memset is called
    act.flags = 0;
    act.restorer = 0;
    act.mask = 0;
    long r = call(__NR_rt_sigaction, sig, arg(&act), 0, 8);
    if (r < 0) fail(p, r, sig);
  }
}

// Sets the placement and then asks the kernel for it: what was realised is what the guard of killpg trusts.
CHILD_INLINE void place(ChildPlan* p) {
  long r;
  if (p->isolation == Isolation::Session) {
    p->stage = Stage::Setsid;
    if ((r = call(__NR_setsid)) < 0) fail(p, r);
  } else if (p->isolation == Isolation::Group) {
    p->stage = Stage::Setpgid;
    if ((r = call(__NR_setpgid, 0, 0)) < 0) fail(p, r);
  } else if (p->join_pgid > 0) {
    p->stage = Stage::Setpgid;
    if ((r = call(__NR_setpgid, 0, p->join_pgid)) < 0) fail(p, r);
  }
  p->stage = Stage::Placement;
  if ((r = call(__NR_getpgid, 0)) < 0) fail(p, r);
  p->pgid = static_cast<int32_t>(r);
  if ((r = call(__NR_getsid, 0)) < 0) fail(p, r);
  p->sid = static_cast<int32_t>(r);
  if (p->tty >= 0) {
    // SIGTTOU is blocked, so that a background process may hand the terminal over. tcsetpgrp(3).
    p->stage = Stage::Foreground;
    int32_t pgid = p->pgid;
    if ((r = call(__NR_ioctl, p->tty, kTiocspgrp, arg(&pgid))) < 0) fail(p, r);
  }
}

// Supplementary groups, then gid, then uid: each step needs the privilege that the last one gives up. A uid change
// clears the parent-death signal, which is therefore armed after it.
CHILD_INLINE void change_identity(ChildPlan* p) {
  long r;
  if (p->group_count >= 0) {
    p->stage = Stage::Groups;
    if ((r = call(__NR_setgroups, p->group_count, arg(p->groups))) < 0) fail(p, r);
  }
  if (p->gid != -1) {
    p->stage = Stage::Setgid;
    if ((r = call(__NR_setresgid, p->gid, p->gid, p->gid)) < 0) fail(p, r);
  }
  if (p->uid != -1) {
    p->stage = Stage::Setuid;
    if ((r = call(__NR_setresuid, p->uid, p->uid, p->uid)) < 0) fail(p, r);
  }
}

CHILD_INLINE void bind_to_parent(ChildPlan* p) {
  if (p->parent_death_signal == 0) return;
  p->stage = Stage::ParentDeath;
  long r = call(__NR_prctl, kPrSetPdeathsig, p->parent_death_signal);
  if (r < 0) fail(p, r);
  // A parent that died before prctl sends nothing: it is seen by its number instead. 0 is one outside our PID namespace
  // (after unshare(CLONE_NEWPID) of the parent), whose death in that moment cannot be seen.
  long parent = call(__NR_getppid);
  if (parent != p->parent_pid && parent != 0) leave();
}

// As execvp(3): the next candidate after ENOENT, ENOTDIR and their kin, EACCES remembered, ENOEXEC given to /bin/sh.
[[noreturn]] CHILD_INLINE void exec(ChildPlan* p) {
  p->stage = Stage::Exec;
  if (has_program(p)) {
    static const char itself[] = "";
    fail(p, call(__NR_execveat, p->program_fd, arg(itself), arg(p->argv), arg(p->envp), kAtEmptyPath), 0);
  }
  long result = -2;  // ENOENT
  for (int32_t i = 0; p->candidates[i] != nullptr; i++) {
    long r = call(__NR_execve, arg(p->candidates[i]), arg(p->argv), arg(p->envp));
    if (r == -8 && p->sh_argv != nullptr) {  // ENOEXEC
      p->sh_argv[1] = const_cast<char*>(p->candidates[i]);
      r = call(__NR_execve, arg(p->sh_argv[0]), arg(p->sh_argv), arg(p->envp));
    }
    switch (-r) {
      case 13:  // EACCES
        result = r;
        continue;
      case 2:    // ENOENT
      case 20:   // ENOTDIR
      case 116:  // ESTALE
      case 19:   // ENODEV
      case 110:  // ETIMEDOUT
        if (result == -2) result = r;
        continue;
      default:
        fail(p, r, i);
    }
  }
  fail(p, result);
}

}  // namespace

// Called once, by the assembly below, on the stack of the clone.
extern "C" __attribute__((visibility("hidden"), used, noreturn)) void procgroup_run_child(ChildPlan* p) {
  if (p->unshare_from >= 0) {
    // Until this call the descriptor table is the parent's own: nothing of it may be touched if the call fails.
    p->stage = Stage::FdTable;
    long r = call(__NR_close_range, p->unshare_from, ~0u, kCloseRangeUnshare);
    if (r < 0) fail(p, r);
  }
  reset_signals(p);
  enter_namespaces(p);
  join_cgroup(p);
  place(p);
  set_process_attributes(p);
  start_from_directory(p);
  int32_t moved[kMaxFds + 3];  // a guardian gets three more than its command
  place_descriptors(p, moved);
  close_strays(p);
  // Nice, oom score and hard limits may need the privilege that a change of uid gives up; the working directory must be
  // one that the new uid may enter; and the change clears a parent-death signal armed before it.
  set_rlimits(p);
  if (p->chdir_first) change_directory(p);
  change_identity(p);
  if (!p->chdir_first) change_directory(p);
  bind_to_parent(p);
  if (p->verdict_fd >= 0) {
    p->stage = Stage::Exec;
    send_verdict(p);
  }
  p->stage = Stage::SignalMask;
  uint64_t mask = p->signal_mask;
  long r = call(__NR_rt_sigprocmask, SIG_SETMASK, arg(&mask), 0, 8);
  if (r < 0) fail(p, r);
  exec(p);
}

#if defined(__x86_64__)
// The child comes back from the syscall on its own stack with our registers; it takes the plan from r12.
static long start(long nr, long a, long b, long c, long d, long e, ChildPlan* plan) {
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register ChildPlan* r12 __asm__("r12") = plan;
  long result;
  __asm__ volatile(
      "syscall\n\t"
      "test %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      "xor %%ebp, %%ebp\n\t"
      "mov %%r12, %%rdi\n\t"
      "call procgroup_run_child\n\t"
      "ud2\n"
      "1:"
      : "=a"(result)
      : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r12)
      : "rcx", "r11", "memory");
  return result;
}
#elif defined(__aarch64__)
static long start(long nr, long a, long b, long c, long d, long e, ChildPlan* plan) {
  register long x8 __asm__("x8") = nr;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  register ChildPlan* x20 __asm__("x20") = plan;
  __asm__ volatile(
      "svc 0\n\t"
      "cbnz x0, 1f\n\t"
      "mov x29, xzr\n\t"
      "mov x30, xzr\n\t"
      "mov x0, x20\n\t"
      "bl procgroup_run_child\n\t"
      "brk 1\n"
      "1:"
      : "+r"(x0)
      : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x20)
      : "memory");
  return x0;
}
#endif

constexpr uint64_t kClonePidfd = 0x1000, kCloneParentSettid = 0x100000;

long clone_child(uint64_t flags, const ChildStack& stack, ChildPlan* plan) {
  uintptr_t top = (reinterpret_cast<uintptr_t>(stack.base) + stack.size) & ~uintptr_t{15};
  // clone(2) has one slot for both: CLONE_PIDFD takes the place of CLONE_PARENT_SETTID.
  if (!(flags & kClonePidfd)) flags |= kCloneParentSettid;
  long slot = arg(flags & kClonePidfd ? &plan->pidfd : &plan->pid);
  return start(__NR_clone, static_cast<long>(flags | SIGCHLD), static_cast<long>(top), slot, 0, 0, plan);
}

long clone3_child(uint64_t flags, const ChildStack& stack, ChildPlan* plan) {
  CloneArgs args;
  args.flags = flags | kCloneParentSettid;
  args.pidfd = flags & kClonePidfd ? reinterpret_cast<uint64_t>(&plan->pidfd) : 0;
  args.child_tid = 0;
  args.parent_tid = reinterpret_cast<uint64_t>(&plan->pid);
  args.exit_signal = SIGCHLD;
  args.stack = reinterpret_cast<uint64_t>(stack.base);
  args.stack_size = stack.size & ~size_t{15};
  args.tls = 0;
  args.set_tid = args.set_tid_size = 0;
  args.cgroup = static_cast<uint64_t>(plan->cgroup_fd);
  return start(__NR_clone3, arg(&args), flags & kCloneIntoCgroup ? sizeof args : kCloneArgsFirst, 0, 0, 0, plan);
}

}  // namespace procgroup
