#include "kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef __NR_pidfd_send_signal
#define __NR_pidfd_send_signal 424
#endif
#ifndef __NR_pidfd_open
#define __NR_pidfd_open 434
#endif
#ifndef __NR_clone3
#define __NR_clone3 435
#endif
#ifndef __NR_close_range
#define __NR_close_range 436
#endif

namespace procgroup {
namespace {

constexpr int kPPidfd = 3;  // P_PIDFD

// struct pidfd_info of linux/pidfd.h, first 72 bytes (PIDFD_INFO_SIZE_VER1).
struct PidfdInfo {
  uint64_t mask;
  uint64_t cgroupid;
  uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
  int32_t exit_code;
  uint32_t coredump_mask;
  uint32_t spare;
};
static_assert(sizeof(PidfdInfo) == 72, "ABI");
constexpr uint64_t kPidfdInfoExit = 1 << 3;
constexpr unsigned long kPidfdGetInfo = _IOWR(0xFF, 11, PidfdInfo);

long checked(long result) { return result < 0 ? -errno : result; }

void set_status(const siginfo_t& info, WaitStatus* out) {
  out->ready = true;
  if (info.si_code == CLD_EXITED) {
    out->code = info.si_status;
  } else {
    out->signal = info.si_status;
    out->core_dumped = info.si_code == CLD_DUMPED;
  }
}

int waitid_status(int idtype, int id, int options, WaitStatus* out) {
  siginfo_t info = {};
  int r = sys_waitid(idtype, id, &info, options, &out->usage);
  if (r == 0 && info.si_pid != 0) set_status(info, out);
  return r;
}

int probe_pidfd(int* self) {
  int fd = sys_pidfd_open(getpid());
  if (fd < 0) return -fd;
  int r = sys_pidfd_send_signal(fd, 0, 0);
  if (r < 0) {
    close(fd);
    return -r;
  }
  *self = fd;
  return 0;
}

}  // namespace

int sys_pidfd_open(pid_t pid) { return static_cast<int>(checked(syscall(__NR_pidfd_open, pid, 0))); }

int sys_pidfd_send_signal(int pidfd, int sig, uint32_t flags) {
  return static_cast<int>(checked(syscall(__NR_pidfd_send_signal, pidfd, sig, nullptr, flags)));
}

void sys_close_range(int first, int last) {
  if (syscall(__NR_close_range, first, last, 0) == 0) return;
  for (int fd = first; fd <= last; fd++) close(fd);
}

// libc's waitid has no usage; the system call does. Its struct is the kernel's, without what libc reserves behind it.
int sys_waitid(int idtype, int id, siginfo_t* info, int options, Usage* usage) {
  struct {
    int64_t user_s, user_us, system_s, system_us, maxrss, unused[3], minflt, majflt, nswap, inblock, oublock;
    int64_t msgsnd, msgrcv, nsignals, nvcsw, nivcsw;
  } raw = {};
  static_assert(sizeof raw == 144, "struct rusage of the kernel");
  long r;
  do {
    r = checked(syscall(SYS_waitid, idtype, id, info, options, &raw));
  } while (r == -EINTR);
  *usage = {raw.user_s * 1000000 + raw.user_us,
            raw.system_s * 1000000 + raw.system_us,
            raw.maxrss,
            raw.minflt,
            raw.majflt,
            raw.inblock,
            raw.oublock,
            raw.nvcsw,
            raw.nivcsw};
  return static_cast<int>(r);
}

int sys_waitid_exit(int pidfd, pid_t pid, int flags, WaitStatus* out) {
  if (pidfd >= 0) {
    int r = waitid_status(kPPidfd, pidfd, WEXITED | WNOHANG | flags, out);
    // EINVAL: Linux 5.3 has pidfds but not P_PIDFD. EPERM, ENOSYS: a filter.
    if (r == 0 || r == -ECHILD) return r;
  }
  return waitid_status(P_PID, pid, WEXITED | WNOHANG | flags, out);
}

int sys_waitid_exit_blocking(pid_t pid, WaitStatus* out) { return waitid_status(P_PID, pid, WEXITED, out); }

int sys_pidfd_exit_info(int pidfd, WaitStatus* out) {
  PidfdInfo info = {};
  info.mask = kPidfdInfoExit;
  long r = checked(ioctl(pidfd, kPidfdGetInfo, &info));
  if (r < 0) return static_cast<int>(r);
  if (!(info.mask & kPidfdInfoExit)) return -ENODATA;
  out->ready = true;
  if (WIFEXITED(info.exit_code)) {
    out->code = WEXITSTATUS(info.exit_code);
  } else {
    out->signal = WTERMSIG(info.exit_code);
    out->core_dumped = WCOREDUMP(info.exit_code);
  }
  return 0;
}

NumberState number_state(int fd, pid_t number) {
  // A kernel that knows owners as processes alone would call the number of a session free as soon as its leader is
  // dead. Ours is a thread's: it takes that for free too.
  pid_t self = static_cast<pid_t>(syscall(SYS_gettid));
  if (number <= 0 || self == getpid() || fcntl(fd, F_SETOWN, self) != 0) return NumberState::Unknown;
  int err = fcntl(fd, F_SETOWN, number) == 0 ? 0 : errno;
  fcntl(fd, F_SETOWN, 0);
  return err == 0 ? NumberState::Taken : err == ESRCH ? NumberState::Free : NumberState::Unknown;
}

uint32_t probe_pidfd_signals() {
  int self = -1;
  if (probe_pidfd(&self) != 0) return 0;
  int r = sys_pidfd_send_signal(self, 0, kPidfdSignalProcessGroup);
  close(self);
  return kFeaturePidfd | (r == 0 || r == -ESRCH ? uint32_t{kFeaturePidfdGroup} : 0u);
}

uint64_t now_ns() {
  struct timespec t;
#ifdef PROCGROUP_GUARDIAN  // rarely asked there: the vDSO is not worth its code
  syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t);
#else
  clock_gettime(CLOCK_MONOTONIC, &t);
#endif
  return static_cast<uint64_t>(t.tv_sec) * 1000000000u + static_cast<uint64_t>(t.tv_nsec);
}

ProbeResult probe_kernel(uint32_t disabled) {
  ProbeResult result;
  auto set = [&](int bit, int err) {
    if (disabled & (1u << bit)) err = ENOSYS;
    if (err == 0) result.available |= 1u << bit;
    result.errnos[bit] = err;
  };
  // An empty argument is refused with EINVAL by a kernel that has clone3, with ENOSYS or EPERM by a filter.
  long r = checked(syscall(__NR_clone3, nullptr, 0));
  set(0, r == -EINVAL ? 0 : static_cast<int>(-r));
  // The range above every possible descriptor: nothing is closed.
  set(3, static_cast<int>(-checked(syscall(__NR_close_range, ~0u, ~0u, 0))));

  int self = -1;
  int err = probe_pidfd(&self);
  set(4, err);
  bool pidfd = result.available & kFeaturePidfd;
  set(1, pidfd ? 0 : ENOSYS);  // a clone that refuses the flag clears it again: see spawn.cc
  if (!pidfd) {
    set(2, ENOSYS), set(5, ENOSYS), set(6, ENOSYS);
  } else {
    // ESRCH: the flag is known and we lead no group. EINVAL: unknown flag. EPERM: a filter, since our own group would
    // allow it.
    int g = sys_pidfd_send_signal(self, 0, kPidfdSignalProcessGroup);
    set(2, g == 0 || g == -ESRCH ? 0 : -g);
    WaitStatus unused;
    int w = waitid_status(kPPidfd, self, WEXITED | WNOHANG, &unused);
    set(5, w == -ECHILD ? 0 : -w);
    int i = sys_pidfd_exit_info(self, &unused);
    set(6, i == -ENODATA ? 0 : -i);
  }
  if (self >= 0) close(self);
  set(7, 0);
  return result;
}

}  // namespace procgroup
