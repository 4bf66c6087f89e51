// Thin wrappers over the system calls that libc lacks or hides, and what of them this kernel grants. Each returns the
// result, or a negative errno.
#pragma once
#include <signal.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

namespace procgroup {

enum Feature : uint32_t {
  kFeatureClone3 = 1u << 0,         // clone3(2), since Linux 5.3
  kFeatureClonePidfd = 1u << 1,     // CLONE_PIDFD, since Linux 5.2
  kFeaturePidfdGroup = 1u << 2,     // PIDFD_SIGNAL_PROCESS_GROUP, since Linux 6.9
  kFeatureCloseRange = 1u << 3,     // close_range(2) with CLOSE_RANGE_UNSHARE, since Linux 5.9
  kFeaturePidfd = 1u << 4,          // pidfd_open, pidfd_send_signal, poll on a pidfd: since Linux 5.3
  kFeatureWaitidPidfd = 1u << 5,    // waitid(P_PIDFD), since Linux 5.4
  kFeaturePidfdInfoExit = 1u << 6,  // PIDFD_GET_INFO with PIDFD_INFO_EXIT, since Linux 6.15
  kFeatureNumberFree = 1u << 7,     // number_state(), which finds out by itself where it works
};

struct ProbeResult {
  uint32_t available = 0;  // Feature bits
  int errnos[8] = {};      // by bit number: why a feature is not available
};

// Probes by real calls: a seccomp filter may deny what the version promises. `disabled` (Feature bits) is the test-only
// switch. Disabling kFeaturePidfd takes everything with it that needs a pidfd.
ProbeResult probe_kernel(uint32_t disabled);
uint32_t probe_pidfd_signals();  // kFeaturePidfd and kFeaturePidfdGroup alone

int sys_pidfd_open(pid_t pid);                                  // pidfd_open(2)
int sys_pidfd_send_signal(int pidfd, int sig, uint32_t flags);  // pidfd_send_signal(2)
constexpr uint32_t kPidfdSignalProcessGroup = 4;
void sys_close_range(int first, int last);  // close_range(2), or one by one

// Whether anybody has this number: a process, a process group or a session. That a session's is free proves it empty,
// although its leader is dead. fcntl(2): F_SETOWN answers ESRCH then, since Linux 4.13. `fd` is any open file but one
// of O_PATH; its owner is set and cleared. Unknown where it cannot be told, as by the first thread of a process.
enum class NumberState : uint8_t { Unknown, Taken, Free };
NumberState number_state(int fd, pid_t number);

// getrusage(2), in the kernel's own units but for the times: microseconds.
struct Usage {
  int64_t user_us, system_us, maxrss_kib, minflt, majflt, inblock, oublock, nvcsw, nivcsw;
};

struct WaitStatus {
  bool ready = false;  // the child is a zombie (or was, and has been reaped by this call)
  int code = -1;       // exit code, or -1
  int signal = 0;      // terminating signal, or 0
  bool core_dumped = false;
  Usage usage = {};
};
// waitid(2) for one known child, never blocking. `pidfd` is used where it is valid, else `pid`. `flags`: 0 or WNOWAIT.
// Returns 0, or -ECHILD where the child is not ours (any more).
int sys_waitid_exit(int pidfd, pid_t pid, int flags, WaitStatus* out);
// waitid(2) with usage, waiting where `options` allow it. Returns 0 or a negative errno; info->si_pid is 0 where nobody
// was ready.
int sys_waitid(int idtype, int id, siginfo_t* info, int options, Usage* usage);
// As above, but waits; for a child that is certain to end at once.
int sys_waitid_exit_blocking(pid_t pid, WaitStatus* out);

// The exit of a process that was reaped by somebody else. PIDFD_GET_INFO, since Linux 6.15. Returns 0 or a negative
// errno.
int sys_pidfd_exit_info(int pidfd, WaitStatus* out);

uint64_t now_ns();  // CLOCK_MONOTONIC

}  // namespace procgroup
