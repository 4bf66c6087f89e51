// Starting the command: a clone that does not suspend us, so that orders, deadlines and the supervisor's end are heard
// while the command is still before exec.
#pragma once
#include <sys/types.h>

#include "core/child.h"
#include "core/fd.h"
#include "core/lookup.h"
#include "core/plan.h"
#include "core/protocol.h"

namespace procgroup {

class Box;

struct Command {
  const char* file;
  const char* cwd;  // or null
  char** argv;
  int argc;
  char** envp;
};

class Leader {
 public:
  // Prepares and clones. 0, or an error before anything was started. Every signal must be blocked.
  Error start(const Command& command, const Config& config, uint64_t keep_ignored, int tty, int high_fd,
              uint64_t signal_mask, Box* box);

  // Once more with the same plan, after ETXTBSY: somebody still had the program open for writing.
  Error start_again();

  // Call when verdict_fd() is readable. True once it is settled: error() then tells, pid() and placement are final.
  // `killed`: it has been sent SIGKILL, which may have come within execve(2) before exec was certain.
  bool read_verdict(bool killed);
  void close_verdict() { verdict_.reset(); }
  // Its verdict is not awaited any longer: error() says at which stage it was killed.
  void give_up();

  int verdict_fd() const { return verdict_.get(); }
  pid_t pid() const { return pid_; }
  pid_t pgid() const { return placed_.pgid; }
  pid_t sid() const { return placed_.sid; }
  const Error& error() const { return error_; }
  int pidfd() const { return pidfd_.get(); }
  void close_pidfd() { pidfd_.reset(); }
  // Once exec has succeeded: the stack that the child ran on, and the pipe of its verdict.
  void release_stack();

 private:
  Error clone();
  bool executed() const;
  ChildPlan plan_ = {};  // the child reads it until exec
  Candidates candidates_;
  Vec<FdMap> fds_;
  Vec<char*> sh_argv_;
  Fd verdict_;
  Fd pidfd_;
  pid_t pid_ = 0;
  Verdict placed_ = {};
  Error error_;
  Box* box_ = nullptr;
  bool shared_ = true;  // the memory of the child is ours, until exec
  int high_fd_ = -1;
};

}  // namespace procgroup
