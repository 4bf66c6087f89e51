#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "procfs.h"
#include "text.h"

namespace procgroup {
namespace {

constexpr int kDeepest = 32;
constexpr int kRemovals = 3;  // passes over a directory whose entries may have changed while it was read

struct Dirent {
  uint64_t ino;
  int64_t off;
  uint16_t reclen;
  uint8_t type;
  char name[];
};
constexpr uint8_t kDirectory = 4;  // DT_DIR

// Calls visit(name) for every cgroup directly below.
template <typename Visit>
void for_each_child(int directory, Visit visit) {
  alignas(8) char buffer[2048];
  lseek(directory, 0, SEEK_SET);
  long n;
  while ((n = syscall(SYS_getdents64, directory, buffer, sizeof buffer)) > 0) {
    for (long at = 0; at < n;) {
      const Dirent* entry = reinterpret_cast<const Dirent*>(buffer + at);
      at += entry->reclen;
      if (entry->type == kDirectory && entry->name[0] != '.') visit(entry->name);
    }
  }
}

int open_directory(int parent, const char* name) {
  return openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

void processes_below(int directory, int depth, Vec<int>* out) {
  Fd file(openat(directory, "cgroup.procs", O_RDONLY | O_CLOEXEC));
  char text[1024];
  int value = 0;
  ssize_t n;
  while (file.valid() && (n = read(file.get(), text, sizeof text)) > 0) {  // a number may be cut by the end of a read
    for (ssize_t i = 0; i < n; i++) {
      if (text[i] >= '0' && text[i] <= '9') {
        value = value * 10 + (text[i] - '0');
      } else {
        if (value > 0) out->push(value);  // 0: one that our namespace cannot name
        value = 0;
      }
    }
  }
  if (depth == 0) return;
  for_each_child(directory, [&](const char* name) {
    Fd child(open_directory(directory, name));
    if (child.valid()) processes_below(child.get(), depth - 1, out);
  });
}

int remove_below(int parent, const char* name, int depth) {
  int r = -EBUSY;
  for (int pass = 0; pass < kRemovals && r == -EBUSY; pass++) {
    r = unlinkat(parent, name, AT_REMOVEDIR) == 0 ? 0 : -errno;
    if (r != -EBUSY || depth == 0) break;
    Fd directory(open_directory(parent, name));
    if (!directory.valid()) continue;
    for_each_child(directory.get(), [&](const char* child) { remove_below(directory.get(), child, depth - 1); });
  }
  return r == -ENOENT || r == -ENODEV ? 0 : r;
}

}  // namespace

bool name_leaves(Vec<char>* out) {
  ProcFs proc;
  ProcStat self = {};
  struct stat space = {};
  if (proc.open(-1)) proc.stat(getpid(), &self);
  stat("/proc/self/ns/pid", &space);
  const uint64_t parts[] = {static_cast<uint64_t>(getpid()), self.start_time, static_cast<uint64_t>(space.st_ino)};
  out->clear();
  append("procgroup", out);
  for (uint64_t part : parts) {
    out->push('.');
    append_number(part, out);
  }
  out->push('.');
  return parts[1] != 0 && parts[2] != 0;
}

void controller_of(const char* file, char* out, size_t size) {
  size_t n = 0;
  if (strncmp(file, "cgroup.", 7) != 0) {
    while (file[n] != 0 && file[n] != '.' && n + 1 < size) out[n] = file[n], n++;
  }
  out[n] = 0;
}

ssize_t read_cgroup(int directory, const char* file, char* text, size_t size) {
  Fd fd(openat(directory, file, O_RDONLY | O_CLOEXEC));
  ssize_t n = fd.valid() ? read(fd.get(), text, size - 1) : -1;
  int err = errno;
  text[n > 0 ? n : 0] = 0;
  return n < 0 ? -err : n;
}

int write_cgroup(int directory, const char* file, const char* text) {
  Fd fd(openat(directory, file, O_WRONLY | O_CLOEXEC));
  if (!fd.valid()) return -errno;
  return write(fd.get(), text, strlen(text)) < 0 ? -errno : 0;
}

int64_t cgroup_value(const char* text, const char* key) {
  size_t length = strlen(key);
  for (const char* line = text; line != nullptr && *line != 0;) {
    const char* at = line + length;
    if (strncmp(line, key, length) == 0 && (length == 0 || *at == ' ')) {
      if (length != 0) at++;
      if (*at < '0' || *at > '9') return -1;
      int64_t value = 0;
      while (*at >= '0' && *at <= '9') value = value * 10 + (*at++ - '0');
      return value;
    }
    line = strchr(line, '\n');
    if (line != nullptr) line++;
  }
  return -1;
}

int cgroup_populated(int directory) {
  char text[256];
  ssize_t n = read_cgroup(directory, "cgroup.events", text, sizeof text);
  if (n < 0) return n == -ENOENT || n == -ENODEV ? 0 : static_cast<int>(n);
  return cgroup_value(text, "populated") == 0 ? 0 : 1;
}

void cgroup_processes(int directory, Vec<int>* out) { processes_below(directory, kDeepest, out); }

bool in_cgroup(ProcFs& proc, pid_t pid, const char* leaf) {
  Fd process(proc.open_process(pid));
  char text[4096];
  if (!process.valid() || read_cgroup(process.get(), "cgroup", text, sizeof text) < 0) return false;
  size_t length = strlen(leaf);
  for (const char* at = text; (at = strstr(at, leaf)) != nullptr; at += length) {
    if (at > text && at[-1] == '/' && (at[length] == '/' || at[length] == '\n' || at[length] == ' ')) return true;
  }
  return false;
}

void cgroup_children(int directory, Vec<char>* out) {
  for_each_child(directory, [&](const char* name) {
    append(name, out);
    out->push(0);
  });
}

int remove_cgroup(int parent, const char* name) { return remove_below(parent, name, kDeepest); }

}  // namespace procgroup
