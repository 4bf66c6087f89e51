#include "cli_fds.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/kernel.h"

namespace procgroup {
namespace {

// Without close_range(2) (before Linux 5.9) only these are looked at. What stays open costs a late end of file, no
// more.
constexpr int kFewDescriptors = 1024;

void close_from(int first, int last) {
  if (first > last || syscall(SYS_close_range, first, last, 0) == 0) return;
  if (last >= kFewDescriptors) last = kFewDescriptors - 1;
  for (int fd = first; fd <= last; fd++) close(fd);
}

}  // namespace

// The raw calls: libc's fcntl is far larger than what is used of it.
int duplicate(int fd, int lowest) { return static_cast<int>(syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, lowest)); }

bool is_pipe(int fd) { return syscall(SYS_fcntl, fd, F_GETPIPE_SZ) >= 0; }

void drop_command_descriptors(const int* own, size_t count) {
  close_from(STDIN_FILENO, STDOUT_FILENO);
  for (int from = STDERR_FILENO + 1;;) {
    int next = INT_MAX;
    for (size_t i = 0; i < count; i++) {
      if (own[i] >= from && own[i] < next) next = own[i];
    }
    close_from(from, next == INT_MAX ? INT_MAX : next - 1);
    if (next == INT_MAX) break;
    from = next + 1;
  }
}

}  // namespace procgroup
