// Stacks for clones, and descriptors out of the way of others'.
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "spawn.h"

namespace procgroup {
namespace {

constexpr size_t kStackSize = 64 * 1024;

}  // namespace

int allocate_child_stack(ChildStack* stack) {
  size_t page = static_cast<size_t>(getpagesize());
  void* base = mmap(nullptr, kStackSize + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (base == MAP_FAILED) return -errno;
  if (mprotect(base, page, PROT_NONE) != 0) {
    int err = errno;
    munmap(base, kStackSize + page);
    return -err;
  }
  stack->base = static_cast<char*>(base) + page;
  stack->size = kStackSize;
  return 0;
}

void free_child_stack(ChildStack* stack) {
  size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  munmap(static_cast<char*>(stack->base) - page, stack->size + page);
}

int move_high(int fd, int high_fd) {
  if (fd < 0 || high_fd < 0 || fd >= high_fd) return fd;
  // The raw call: musl's fcntl sets the flag a second time.
  int moved = static_cast<int>(syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, high_fd));
  if (moved < 0) return fd;
  close(fd);
  return moved;
}

}  // namespace procgroup
