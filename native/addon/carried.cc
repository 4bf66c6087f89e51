#include "carried.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/fd.h"

// The bytes of the guardian that was built with this addon, read where they lie in its file.
__asm__(
    ".pushsection .rodata.procgroup_guardian, \"a\", %progbits\n"
    ".balign 16\n"
    "procgroup_guardian_begin:\n"
    ".incbin \"" PROCGROUP_GUARDIAN_FILE
    "\"\n"
    "procgroup_guardian_end:\n"
    ".byte 0\n"
    ".popsection\n");

extern "C" {
__attribute__((visibility("hidden"))) extern const char procgroup_guardian_begin[];
__attribute__((visibility("hidden"))) extern const char procgroup_guardian_end[];
}

namespace procgroup {
namespace {

constexpr unsigned kExec = 0x10;  // MFD_EXEC, since Linux 6.3
constexpr int kFirst = 64;        // out of the way of numbers that mean something

int memory_file() {
  static const char name[] = "procgroup-guardian";
  // Without MFD_EXEC vm.memfd_noexec may take the exec bit away; older kernels know neither.
  long fd = syscall(SYS_memfd_create, name, MFD_CLOEXEC | MFD_ALLOW_SEALING | kExec);
  if (fd < 0 && errno == EINVAL) fd = syscall(SYS_memfd_create, name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  return fd < 0 ? -errno : static_cast<int>(fd);
}

int fill(int fd) {
  for (const char* at = procgroup_guardian_begin; at < procgroup_guardian_end;) {
    ssize_t n = write(fd, at, static_cast<size_t>(procgroup_guardian_end - at));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return n < 0 ? -errno : -EIO;
    at += n;
  }
  return fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0 ? -errno : 0;
}

int make() {
  int made = memory_file();
  if (made < 0) return made;
  Fd file(made);
  int r = fill(file.get());
  if (r < 0) return r;
  int high = fcntl(file.get(), F_DUPFD_CLOEXEC, kFirst);
  return high >= 0 ? high : file.release();  // where RLIMIT_NOFILE is below that
}

}  // namespace

int carried_guardian() {
  static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  static int descriptor = -1;
  pthread_mutex_lock(&mutex);
  int fd = descriptor >= 0 ? descriptor : make();
  if (fd >= 0) descriptor = fd;  // a failure may pass: EMFILE, ENOMEM
  pthread_mutex_unlock(&mutex);
  return fd;
}

}  // namespace procgroup
