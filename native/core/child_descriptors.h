// The descriptors of the command, arranged between clone and exec. Part of child.cc: see there for what is forbidden.
#pragma once
#include <fcntl.h>
#include <sys/syscall.h>

#include "child_syscall.h"
#include "plan.h"

namespace procgroup {

[[noreturn]] CHILD_INLINE void leave() {
  for (;;) call(__NR_exit_group, 127);
}

CHILD_INLINE void send_verdict(ChildPlan* p) {
  Verdict v;
  v.stage = static_cast<int32_t>(p->stage);
  v.error = p->error;
  v.error_index = p->error_index;
  v.pgid = p->pgid;
  v.sid = p->sid;
  call(__NR_write, p->verdict_fd, arg(&v), sizeof v);
}

[[noreturn]] __attribute__((noinline)) static void fail(ChildPlan* p, long result, int32_t index = -1) {
  p->error_index = index;
  p->error = static_cast<int32_t>(-result);
  if (p->verdict_fd >= 0) send_verdict(p);
  leave();
}

// A guardian starts files alone: its plan says nothing of it, and its code stays small.
CHILD_INLINE bool has_program([[maybe_unused]] const ChildPlan* p) {
#ifdef PROCGROUP_GUARDIAN
  return false;
#else
  return p->program_fd >= 0;
#endif
}

CHILD_INLINE bool is_target(const ChildPlan* p, int32_t fd) {
  for (int32_t i = 0; i < p->fd_count; i++) {
    if (p->fds[i].target == fd) return true;
  }
  return false;
}

// First every source that sits on some target's number is moved out of the way, then each target is made. A source that
// already has its target's number keeps it, with FD_CLOEXEC cleared (dup2(n, n) would not clear it).
CHILD_INLINE void place_descriptors(ChildPlan* p, int32_t* moved) {
  p->stage = Stage::Descriptors;
  for (int32_t i = 0; i < p->fd_count; i++) {
    const FdMap& m = p->fds[i];
    moved[i] = m.source;
    if (m.source == m.target || !is_target(p, m.source)) continue;
    long r = call(__NR_fcntl, m.source, F_DUPFD_CLOEXEC, p->scratch_from);
    if (r < 0) fail(p, r, m.target);
    moved[i] = static_cast<int32_t>(r);
  }
  for (int32_t i = 0; i < p->fd_count; i++) {
    const FdMap& m = p->fds[i];
    long r = m.source == m.target ? call(__NR_fcntl, m.target, F_SETFD, 0) : call(__NR_dup3, moved[i], m.target, 0);
    if (r < 0) fail(p, r, m.target);
  }
}

struct Dirent64 {
  uint64_t ino;
  int64_t off;
  uint16_t reclen;
  uint8_t type;
  char name[];
};

// Without close_range(2): the table as /proc shows it. Read again until a pass closed nothing, since closing shifts it.
CHILD_INLINE void close_strays_by_proc(ChildPlan* p) {
  static const char path[] = "/proc/self/fd";
  long dir = call(__NR_openat, AT_FDCWD, arg(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (dir < 0) fail(p, dir);
  alignas(8) char buffer[4096];
  for (bool closed = true; closed;) {
    closed = false;
    call(__NR_lseek, dir, 0, 0);
    long n;
    while ((n = call(__NR_getdents64, dir, arg(buffer), sizeof buffer)) > 0) {
      for (long at = 0; at < n;) {
        const Dirent64* entry = reinterpret_cast<const Dirent64*>(buffer + at);
        at += entry->reclen;  // NOLINT(clang-analyzer-core.uninitialized.Assign): filled by the inline system call
        if (entry->name[0] < '0' || entry->name[0] > '9') continue;
        int32_t fd = 0;
        for (const char* c = entry->name; *c != 0; c++) fd = fd * 10 + (*c - '0');
        if (fd == dir || (has_program(p) && fd == p->program_fd) || is_target(p, fd)) continue;
        call(__NR_close, fd);
        closed = true;
      }
    }
    if (n < 0) fail(p, n);
  }
  call(__NR_close, dir);
}

CHILD_INLINE void close_strays(ChildPlan* p) {
  if (!p->close_strays) return;
  p->stage = Stage::StrayFds;
  if (!p->have_close_range) return close_strays_by_proc(p);
  uint32_t from = 0;
  for (int32_t i = 0; i < p->fd_count; i++) {
    uint32_t target = static_cast<uint32_t>(p->fds[i].target);
    if (target > from) {
      long r = call(__NR_close_range, from, target - 1, 0);
      if (r < 0) fail(p, r);
    }
    from = target + 1;
  }
  if (has_program(p)) {  // its number is above all targets
    uint32_t program = static_cast<uint32_t>(p->program_fd);
    long r = program > from ? call(__NR_close_range, from, program - 1, 0) : 0;
    if (r < 0) fail(p, r);
    from = program + 1;
  }
  long r = call(__NR_close_range, from, ~0u, 0);
  if (r < 0) fail(p, r);
}

}  // namespace procgroup
