// How far a scan of /proc may be believed.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "procfs.h"

namespace procgroup {
namespace {

constexpr long kProcMagic = 0x9fa0;  // PROC_SUPER_MAGIC of linux/magic.h

}  // namespace

// Every PID namespace has a process 1, which is not ours to see only where others' are not.
bool ProcFs::blind() {
  if (sight_ == Sight::Unknown) {
    ProcStat init;
    bool seen = stat(1, &init);
    if (!seen && (!usable() || error_ == EMFILE || error_ == ENFILE || error_ == ENOMEM)) return false;  // no answer
    sight_ = seen ? Sight::Whole : Sight::Blind;
  }
  return sight_ == Sight::Blind;
}

// lxcfs and its like lay a file of their own over it, which stands still while processes fork.
pid_t ProcFs::last_pid() {
  char text[128];
  Fd file(usable() ? open_at("loadavg", O_RDONLY) : -1);
  struct statfs fs;
  bool own = file.valid() && fstatfs(file.get(), &fs) == 0 && fs.f_type == kProcMagic;
  ssize_t n = own ? read(file.get(), text, sizeof text - 1) : -1;
  file.reset();
  if (spent_) take_spare();
  if (n <= 0) return -1;
  text[n] = 0;
  const char* last = strrchr(text, ' ');
  return last == nullptr ? -1 : static_cast<pid_t>(atoi(last + 1));
}

}  // namespace procgroup
