// The parent half of a spawn: opens stdio, looks the program up, clones, hears exec's verdict. Blocks its thread until
// then, so it runs on a spawner thread (or in the guardian), with every signal blocked.
#pragma once
#include <sys/types.h>

#include "child.h"
#include "fd.h"
#include "plan.h"
#include "result.h"
#include "vec.h"

namespace procgroup {

// Absent: the command gets nothing under that number, but for a stray that lies there.
enum class StdioKind : int32_t { Ignore = 0, Pipe = 1, Descriptor = 2, File = 3, Absent = 4 };

struct StdioSpec {
  StdioKind kind;
  int32_t fd;        // Descriptor: ours, which must stay open until spawn returns; or a negative errno
  const char* path;  // File
  int32_t flags;     // File: O_ flags
  int32_t mode;      // File
};

struct SpawnRequest {
  const char* file = nullptr;
  int program_fd = -1;    // >= 0: an open executable that is run instead of `file`; it stays the caller's
  bool script = true;     // what is no executable is given to /bin/sh, as execvp(3) does
  char** argv = nullptr;  // null-terminated
  int argc = 0;
  char** envp = nullptr;  // null-terminated
  const char* cwd = nullptr;
  // >= 0: a directory, which stays the caller's. Relative paths and a missing `cwd` count from it, not from where we
  // are at the time. A child in a mount namespace of its own does without it: the descriptor is one of ours.
  int cwd_fd = -1;
  Vec<StdioSpec> stdio;
  Vec<RlimitSet> rlimits;
  Isolation isolation = Isolation::Group;
  bool foreground = false;
  bool close_strays = true;
  // Descriptors at or above the engine's line are left behind also where strays are inherited.
  bool leave_high = false;
  int parent_death_signal = 0;
  int umask = kUnset;
  int nice = kUnset;
  int oom_score_adj = kUnset;
  bool namespaces = false;  // the child is init of a PID namespace, with a mount namespace of its own
  // With uid, gid or groups the child gets memory of its own: cloning it costs what our memory is large.
  int uid = -1, gid = -1;  // -1: leave
  int group_count = -1;    // -1: leave
  const uint32_t* groups = nullptr;
  bool chdir_first = false;  // with the privilege that a change of uid gives up
  uint64_t keep_ignored = 0;
  uint64_t signal_mask = 0;
};

struct SpawnResult {
  Error error;
  pid_t pid = 0;
  pid_t pgid = 0;
  pid_t sid = 0;
  Fd pidfd;              // not valid without kFeaturePidfd
  Vec<int> parent_ends;  // by stdio number: our end of a pipe, or -1. Owned by the caller.
  Fd tty;                // with `foreground`
  pid_t tty_owner = 0;   // the terminal's foreground group before
  bool used_clone3 = false;
  bool user_namespace = false;  // it took one to be allowed the others
};

// Calls made by spawn() around the clone, so that its owner can end a child that is stuck before exec.
class SpawnHooks {
 public:
  // `plan` becomes readable by others (pid and pidfd are written by the kernel). False: give up, nothing is started.
  virtual bool enter_clone(ChildPlan* plan) = 0;
  virtual void leave_clone() = 0;
  // Returns when the clones that are in flight elsewhere have ended, or after a bound: they hold copies of descriptors.
  virtual void wait_for_other_clones() = 0;

 protected:
  ~SpawnHooks() = default;
};

struct SpawnContext {
  ChildStack stack = {};
  uint32_t features = 0;  // Feature bits; a bit whose call is refused is cleared
  int high_fd = -1;       // engine descriptors live at or above this number; -1: no such line
};

// The call that a stage is about.
const char* syscall_of(Stage stage);

// Maps a stack with a guard page below it. Returns 0 or a negative errno.
int allocate_child_stack(ChildStack* stack);
void free_child_stack(ChildStack* stack);

// A duplicate at or above `high_fd`, closing the original; the original where the limit does not allow it.
int move_high(int fd, int high_fd);

void spawn(SpawnContext& context, SpawnRequest& request, SpawnHooks& hooks, SpawnResult* result);

}  // namespace procgroup
