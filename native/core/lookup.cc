#include "lookup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fd.h"

namespace procgroup {
namespace {

// What execvp(3) searches where PATH is not set.
constexpr const char* kDefaultPath = "/bin:/usr/bin";

// The raw call: libc's wraps it in code for flags that are not used here.
bool exists(int dir, const char* path) { return syscall(SYS_faccessat, dir, path, F_OK) == 0 || errno == EACCES; }

}  // namespace

const char* path_of(char* const* envp) {
  for (; *envp != nullptr; envp++) {
    if (strncmp(*envp, "PATH=", 5) == 0) return *envp + 5;
  }
  return nullptr;
}

int find_program(const char* file, const char* path, const char* cwd, Candidates* out, bool unseen, int from) {
  if (strchr(file, '/') != nullptr) {
    out->paths.push(file);
    out->paths.push(nullptr);
    return 0;
  }
  size_t length = strlen(file);
  if (length == 0) return -ENOENT;
  if (length > NAME_MAX) return -ENAMETOOLONG;
  if (path == nullptr) path = kDefaultPath;

  // One allocation, so that the pointers stay: each entry gives at most itself, a slash, the name and a NUL.
  size_t entries = 1;
  for (const char* c = path; *c != 0; c++) entries += *c == ':';
  out->text.reserve(strlen(path) + entries * (length + 3));
  Fd base;  // opened only for a relative entry
  for (const char* entry = path;; entry++) {
    const char* end = strchrnul(entry, ':');
    size_t start = out->text.size();
    for (const char* c = entry; c < end; c++) out->text.push(*c);
    if (end > entry) out->text.push('/');
    for (size_t i = 0; i <= length; i++) out->text.push(file[i]);
    const char* candidate = out->text.data() + start;
    bool from_cwd = candidate[0] != '/' && cwd != nullptr;
    if (from_cwd && !unseen && !base.valid()) base.reset(openat(from, cwd, O_PATH | O_DIRECTORY | O_CLOEXEC));
    // A cwd that is not there is reported by the child's chdir.
    bool found = unseen || (from_cwd && !base.valid()) ? true : exists(from_cwd ? base.get() : from, candidate);
    if (found) {
      out->paths.push(candidate);
    } else {
      out->text.truncate(start);
    }
    if (*end == 0) break;
    entry = end;
  }
  if (out->paths.empty()) return -ENOENT;
  out->paths.push(nullptr);
  return 0;
}

}  // namespace procgroup
