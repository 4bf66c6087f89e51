// Reading /proc without allocation, and so that it still works when the descriptor table is full. proc(5).
#pragma once
#include <errno.h>
#include <stdint.h>
#include <sys/types.h>

#include "fd.h"
#include "vec.h"

namespace procgroup {

struct ProcStat {
  pid_t pid;
  pid_t ppid;
  pid_t pgid;
  pid_t sid;
  char state;
  char comm[17];
  int num_threads;
  uint32_t flags;       // the kernel's PF_ flags
  uint64_t start_time;  // clock ticks after boot
  uint64_t rss_bytes;

  // A process whose main thread ended reads Z while other threads run on: it is dead only with one thread left.
  bool alive() const { return (state != 'Z' && state != 'X' && state != 'x') || num_threads > 1; }
};

constexpr uint32_t kPfForkNoExec = 0x40;  // it has not called execve(2) since its fork

// Writes "PID/name", for which `path` has room; far cheaper than snprintf in a loop over every process.
void pid_path(char* path, pid_t pid, const char* name);

struct Holder {
  pid_t pid;
  char comm[17];
};

class ProcFs {
 public:
  // Opens /proc once, with a spare descriptor for a full table, at or above `high_fd`. False: no usable /proc.
  bool open(int high_fd);
  // A /proc of somebody else's PID namespace, with its numbers; without a spare descriptor, whose number nobody knows.
  void use(Fd&& directory) { dir_ = static_cast<Fd&&>(directory); }
  bool usable() const { return dir_.valid(); }
  int directory() const { return dir_.get(); }

  // False where it is not there, or cannot be read: then absent() tells which.
  bool stat(pid_t pid, ProcStat* out);
  bool absent() const { return error_ == 0 || error_ == ENOENT || error_ == ESRCH; }
  // -EMFILE or -ENFILE where the last look had no descriptor, else -ESRCH.
  int failure() const { return error_ == EMFILE || error_ == ENFILE ? -error_ : -ESRCH; }
  // The same of any look of the last scan().
  int scan_failure() const { return scan_failure_; }

  // /proc/PID as a descriptor: it goes on meaning this process, whatever becomes of its number. -1 where it is not
  // there.
  int open_process(pid_t pid);
  // The process behind it; false once it has been reaped.
  bool stat_of(int process, ProcStat* out);
  // The function it sleeps in, "" where /proc does not tell (it needs ptrace rights).
  void wchan(pid_t pid, char* out, size_t size);
  // TracerPid of /proc/PID/status, 0 where there is none.
  pid_t tracer(pid_t pid);
  // Whether a signal that was sent to the process is pending there.
  bool is_pending(pid_t pid, int sig);

  // Whether processes of other users are kept from us (the mount option hidepid): then who is not seen may live.
  // proc(5).
  bool blind();

  // The number that the last fork of our PID namespace was given, or -1 where /proc/loadavg is not the kernel's own.
  // proc(5).
  pid_t last_pid();

  // Calls visit(stat) for every process once, in one pass. False: the pass could not be completed.
  template <typename Visit>
  bool scan(Visit visit) {
    scan_failure_ = -ESRCH;
    if (!rewind()) return false;
    pid_t pid;
    ProcStat entry;
    bool whole = true;
    while ((pid = next()) > 0) {
      if (stat(pid, &entry)) {
        visit(entry);
        continue;
      }
      whole &= absent();  // a full descriptor table hides processes: such a pass proves nothing
      if (scan_failure_ == -ESRCH) scan_failure_ = failure();
    }
    return pid == 0 && whole;
  }

  // True where the environment that `pid` was started with holds the line `entry` (NAME=value).
  bool has_environment(pid_t pid, const char* entry);

  // Appends the children of every thread of `pid`. False: this kernel does not list them (CONFIG_PROC_CHILDREN).
  bool children(pid_t pid, Vec<int>* out);

  // Processes that have the pipe `inode` open for writing, ourselves left out.
  bool pipe_writers(uint64_t inode, Vec<Holder>* out);

 private:
  bool rewind();
  void take_spare();
  const char* status_line(pid_t pid, const char* name, char* text, size_t size);
  pid_t next();  // 0: end, -1: error
  int open_at(const char* path, int flags);
  ssize_t read_file(const char* path, char* buffer, size_t size);

  enum class Sight : uint8_t { Unknown, Whole, Blind };
  Sight sight_ = Sight::Unknown;
  Fd dir_;
  Fd spare_;
  bool spent_ = false;  // to be taken again
  int high_fd_ = -1;
  int error_ = 0;  // errno of the last open
  int scan_failure_ = -ESRCH;
  Vec<char> entries_;
  size_t at_ = 0;
  size_t filled_ = 0;
};

}  // namespace procgroup
