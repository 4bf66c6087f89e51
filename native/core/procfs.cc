#include "procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "spawn.h"

namespace procgroup {
namespace {

constexpr size_t kEntriesSize = 32 * 1024;

struct Dirent64 {
  uint64_t ino;
  int64_t off;
  uint16_t reclen;
  uint8_t type;
  char name[1];
};

uint64_t number(const char** c) {
  while (**c == ' ') ++*c;
  bool negative = **c == '-';
  if (negative) ++*c;
  uint64_t value = 0;
  while (**c >= '0' && **c <= '9') value = value * 10 + static_cast<uint64_t>(*(*c)++ - '0');
  return negative ? -value : value;
}

bool parse_stat(char* text, ProcStat* out) {
  // The name may hold spaces and parentheses: it ends at the last one.
  char* open = strchr(text, '(');
  char* close = strrchr(text, ')');
  if (open == nullptr || close == nullptr || close[1] == 0) return false;
  memset(out, 0, sizeof *out);
  out->pid = static_cast<pid_t>(atoi(text));
  size_t length = static_cast<size_t>(close - open - 1);
  if (length > sizeof out->comm - 1) length = sizeof out->comm - 1;
  memcpy(out->comm, open + 1, length);
  out->state = close[2];
  const char* c = close + 3;
  out->ppid = static_cast<pid_t>(number(&c));
  out->pgid = static_cast<pid_t>(number(&c));
  out->sid = static_cast<pid_t>(number(&c));
  for (int field = 7; field < 9; field++) number(&c);
  out->flags = static_cast<uint32_t>(number(&c));
  for (int field = 10; field < 20; field++) number(&c);
  out->num_threads = static_cast<int>(number(&c));
  number(&c);
  out->start_time = number(&c);
  number(&c);
  out->rss_bytes = number(&c) * static_cast<uint64_t>(getpagesize());
  return true;
}

pid_t name_to_pid(const char* name) {
  pid_t pid = 0;
  for (; *name != 0; name++) {
    if (*name < '0' || *name > '9') return 0;
    pid = pid * 10 + (*name - '0');
  }
  return pid;
}

}  // namespace

void pid_path(char* path, pid_t pid, const char* name) {
  char digits[12];
  int n = 0;
  do digits[n++] = static_cast<char>('0' + pid % 10);
  while ((pid /= 10) > 0);
  while (n > 0) *path++ = digits[--n];
  *path++ = '/';
  strcpy(path, name);
}

bool ProcFs::open(int high_fd) {
  high_fd_ = high_fd;
  dir_.reset(move_high(::open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC), high_fd));
  take_spare();
  // A /proc of another PID namespace knows us by another number, or not at all.
  char self[16];
  ssize_t n = dir_.valid() ? readlinkat(dir_.get(), "self", self, sizeof self - 1) : -1;
  self[n > 0 ? n : 0] = 0;
  if (name_to_pid(self) != getpid()) dir_.reset();
  return dir_.valid();
}

void ProcFs::take_spare() {
  spare_.reset(move_high(::open("/dev/null", O_RDONLY | O_CLOEXEC), high_fd_));
  spent_ = !spare_.valid();
}

// A full table is answered from the spare descriptor, which is taken again after the call.
int ProcFs::open_at(const char* path, int flags) {
  int fd = openat(dir_.get(), path, flags | O_CLOEXEC);
  error_ = fd >= 0 ? 0 : errno;
  if ((error_ != EMFILE && error_ != ENFILE) || !spare_.valid()) return fd;
  spare_.reset();
  spent_ = true;
  fd = openat(dir_.get(), path, flags | O_CLOEXEC);
  error_ = fd >= 0 ? 0 : errno;
  return fd;
}

ssize_t ProcFs::read_file(const char* path, char* buffer, size_t size) {
  int fd = open_at(path, O_RDONLY);
  if (fd < 0) return -errno;
  ssize_t n = read(fd, buffer, size - 1);
  int err = errno;
  close(fd);
  if (spent_) take_spare();
  if (n < 0) return -err;
  buffer[n] = 0;
  return n;
}

bool ProcFs::stat(pid_t pid, ProcStat* out) {
  if (!usable()) return false;
  char path[32], text[1024];
  pid_path(path, pid, "stat");
  return read_file(path, text, sizeof text) > 0 && parse_stat(text, out);
}

int ProcFs::open_process(pid_t pid) {
  char path[32];
  pid_path(path, pid, "");
  return open_at(path, O_PATH | O_DIRECTORY);
}

bool ProcFs::stat_of(int process, ProcStat* out) {
  char text[1024];
  Fd file(openat(process, "stat", O_RDONLY | O_CLOEXEC));
  error_ = file.valid() ? 0 : errno;
  ssize_t n = file.valid() ? read(file.get(), text, sizeof text - 1) : -1;
  if (n <= 0) return false;
  text[n] = 0;
  return parse_stat(text, out);
}

void ProcFs::wchan(pid_t pid, char* out, size_t size) {
  char path[32];
  out[0] = 0;
  if (!usable()) return;
  pid_path(path, pid, "wchan");
  if (read_file(path, out, size) <= 0 || strcmp(out, "0") == 0) out[0] = 0;
}

bool ProcFs::rewind() {
  if (!usable()) return false;
  entries_.reserve(kEntriesSize);
  at_ = filled_ = 0;
  return lseek(dir_.get(), 0, SEEK_SET) == 0;
}

pid_t ProcFs::next() {
  for (;;) {
    if (at_ >= filled_) {
      long n = syscall(SYS_getdents64, dir_.get(), entries_.data(), kEntriesSize);
      if (n <= 0) return n == 0 ? 0 : -1;
      at_ = 0;
      filled_ = static_cast<size_t>(n);
    }
    const Dirent64* entry = reinterpret_cast<const Dirent64*>(entries_.data() + at_);
    at_ += entry->reclen;
    pid_t pid = name_to_pid(entry->name);
    if (pid > 0) return pid;
  }
}

static bool holds_line(int file, const char* entry) {
  size_t length = strlen(entry) + 1, matched = 0;
  bool at_start = true, matching = false;
  char text[4096];
  for (ssize_t n; (n = read(file, text, sizeof text)) > 0;) {
    for (ssize_t i = 0; i < n; i++) {
      if (at_start) matching = true, matched = 0;
      if (matching) matching = text[i] == entry[matched++];
      if (matching && matched == length) return true;
      at_start = text[i] == 0;
    }
  }
  return false;
}

bool ProcFs::has_environment(pid_t pid, const char* entry) {
  char path[32];
  pid_path(path, pid, "environ");
  Fd file(open_at(path, O_RDONLY));
  bool holds = file.valid() && holds_line(file.get(), entry);
  file.reset();
  if (spent_) take_spare();
  return holds;
}

bool ProcFs::children(pid_t pid, Vec<int>* out) {
  char path[64];
  pid_path(path, pid, "task");
  Fd tasks(open_at(path, O_RDONLY | O_DIRECTORY));
  if (!tasks.valid()) return false;
  alignas(8) char buffer[2048];
  bool listed = false;
  long n;
  while ((n = syscall(SYS_getdents64, tasks.get(), buffer, sizeof buffer)) > 0) {
    for (long at = 0; at < n;) {
      const Dirent64* entry = reinterpret_cast<const Dirent64*>(buffer + at);
      at += entry->reclen;
      pid_t thread = name_to_pid(entry->name);
      if (thread <= 0) continue;
      pid_path(path, thread, "children");
      Fd file(openat(tasks.get(), path, O_RDONLY | O_CLOEXEC));
      if (!file.valid()) continue;
      listed = true;
      char text[4096];
      ssize_t got;
      int value = 0;
      bool digits = false;
      while ((got = read(file.get(), text, sizeof text)) > 0) {  // a number may be cut by the end of a read
        for (ssize_t i = 0; i < got; i++) {
          if (text[i] >= '0' && text[i] <= '9') {
            value = value * 10 + (text[i] - '0');
            digits = true;
          } else {
            if (digits) out->push(value);
            value = 0;
            digits = false;
          }
        }
      }
      if (digits) out->push(value);
    }
  }
  return listed;
}

bool ProcFs::pipe_writers(uint64_t inode, Vec<Holder>* out) {
  char want[40];
  snprintf(want, sizeof want, "pipe:[%llu]", static_cast<unsigned long long>(inode));
  pid_t self = getpid();
  return scan([&](const ProcStat& process) {
    if (process.pid == self || process.state == 'Z') return;
    char path[64], link[64];
    pid_path(path, process.pid, "fd");
    Fd dir(open_at(path, O_RDONLY | O_DIRECTORY));
    if (!dir.valid()) return;
    alignas(8) char buffer[4096];
    long n;
    while ((n = syscall(SYS_getdents64, dir.get(), buffer, sizeof buffer)) > 0) {
      for (long at = 0; at < n;) {
        const Dirent64* entry = reinterpret_cast<const Dirent64*>(buffer + at);
        at += entry->reclen;
        ssize_t length = readlinkat(dir.get(), entry->name, link, sizeof link - 1);
        if (length <= 0) continue;
        link[length] = 0;
        if (strcmp(link, want) != 0) continue;
        // The mode of a /proc/PID/fd link shows how the file is open: the reader's side is ours or a child's stdin.
        char info[256];
        char name[64];
        snprintf(name, sizeof name, "fdinfo/%s", entry->name);
        pid_path(path, process.pid, name);
        if (read_file(path, info, sizeof info) <= 0) continue;
        const char* flags = strstr(info, "flags:\t");
        if (flags != nullptr && (strtol(flags + 7, nullptr, 8) & O_ACCMODE) == O_RDONLY) continue;
        Holder holder = {};
        holder.pid = process.pid;
        memcpy(holder.comm, process.comm, sizeof holder.comm);
        out->push(holder);
        return;
      }
    }
  });
}

}  // namespace procgroup
