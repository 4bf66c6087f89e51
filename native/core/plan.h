// What the child half needs, flattened before clone. The child shares our memory (CLONE_VM): it reads the inputs and
// writes only the fields marked as outputs.
#pragma once
#include <stdint.h>

#include "result.h"

namespace procgroup {

enum class Isolation : int32_t { Inherit = 0, Group = 1, Session = 2 };

struct FdMap {
  int32_t source;  // our descriptor
  int32_t target;  // its number in the command
};

struct RlimitSet {
  int32_t resource;
  int32_t keep_hard;  // 1: `hard` is ignored, the hard limit stays what it is
  uint64_t soft;
  uint64_t hard;
};

constexpr int32_t kUnset = INT32_MIN;
constexpr int32_t kMaxFds = 256;  // entries of stdio: the child keeps a table of them on its stack

// Written to ChildPlan::verdict_fd. End of file after one with error 0 means that exec succeeded.
struct Verdict {
  int32_t stage;
  int32_t error;
  int32_t error_index;
  int32_t pgid;
  int32_t sid;
};

struct ChildPlan {
  // Inputs.
  const char* const* candidates;  // paths to try in turn, null-terminated
  int32_t program_fd;             // >= 0: an executable to run instead; CLOEXEC, not the number of any target
  char** argv;
  char* const* envp;
  char** sh_argv;    // {"/bin/sh", (path), args...} for ENOEXEC; sh_argv[1] is filled in by the child. Null: no script
  int32_t cwd_fd;    // >= 0: the directory to be in before anything else; O_PATH will do
  const char* cwd;   // or null
  const FdMap* fds;  // by rising target
  int32_t fd_count;
  int32_t scratch_from;  // sources that sit on a target's number are first moved to at least this number
  int32_t unshare_from;  // >= 0: the table is shared until close_range(UNSHARE) from here; -1: the table is a copy
  int32_t close_strays;
  int32_t have_close_range;
  Isolation isolation;
  int32_t join_pgid;            // Isolation::Inherit: the group to join; 0: stay in the parent's
  int32_t tty;                  // >= 0: make the new group its foreground group
  int32_t parent_death_signal;  // 0: none
  int32_t parent_pid;
  int32_t umask;          // kUnset: leave
  int32_t nice;           // kUnset: leave
  int32_t oom_score_adj;  // kUnset: leave
  const RlimitSet* rlimits;
  int32_t rlimit_count;
  uint64_t keep_ignored;  // bit n-1: the disposition of signal n is left alone
  uint64_t signal_mask;   // of the command; 0: empty
  // Only where the child has memory of its own (no CLONE_VM): a changed uid would make the parent undumpable.
  int32_t uid, gid;     // -1: leave
  int32_t group_count;  // -1: leave
  const uint32_t* groups;
  int32_t chdir_first;  // before the change of uid, else after it
  // >= 0: a CLOEXEC pipe that takes a Verdict before exec and another one if it fails. For a parent that is not
  // suspended.
  int32_t verdict_fd;
  // A cgroup to be in before exec. >= 0: its directory, for clone3 with kCloneIntoCgroup; its cgroup.procs, which the
  // child writes where that clone is refused.
  int32_t cgroup_fd;
  int32_t cgroup_procs_fd;
  // CLONE_NEW flags of the child, which then gives itself a /proc of its own; 0: none. With a user namespace its maps.
  uint64_t namespaces;
  const char* uid_map;  // or null
  const char* gid_map;

  // Outputs.
  volatile Stage stage;
  volatile int32_t error;
  volatile int32_t error_index;
  volatile int32_t pgid;
  volatile int32_t sid;
  volatile int32_t pidfd;  // written by the kernel at clone; -1 before. One that fails may have written it too
  volatile int32_t pid;    // written by the kernel at clone, after the pidfd, when nothing can fail any more; 0 before
  volatile int32_t tells_pid;  // clone3: both are written. clone: the pidfd alone, where one is asked for
};
static_assert(__is_standard_layout(ChildPlan) && __is_trivially_copyable(ChildPlan),
              "a plan is read by a child that shares our memory");

}  // namespace procgroup
