// What the command is started with besides its placement: limits, niceness, directory. Part of child.cc: see there for
// what is forbidden.
#pragma once
#include <fcntl.h>
#include <sys/syscall.h>

#include "child_descriptors.h"
#include "child_syscall.h"
#include "plan.h"

namespace procgroup {

CHILD_INLINE void write_oom_score(ChildPlan* p) {
  p->stage = Stage::OomScore;
  char text[8];
  int n = 0;
  int value = p->oom_score_adj;
  if (value < 0) text[n++] = '-', value = -value;
  int divisor = 1000;
  while (divisor > 1 && value / divisor == 0) divisor /= 10;
  for (; divisor > 0; divisor /= 10) text[n++] = static_cast<char>('0' + value / divisor % 10);
  static const char path[] = "/proc/self/oom_score_adj";
  long fd = call(__NR_openat, AT_FDCWD, arg(path), O_WRONLY | O_CLOEXEC, 0);
  if (fd < 0) fail(p, fd);
  long r = call(__NR_write, fd, arg(text), n);
  if (r < 0) fail(p, r);
  call(__NR_close, fd);
}

CHILD_INLINE void set_process_attributes(ChildPlan* p) {
  long r;
  if (p->umask != kUnset) {
    p->stage = Stage::Umask;
    call(__NR_umask, p->umask);
  }
  if (p->nice != kUnset) {
    p->stage = Stage::Nice;
    if ((r = call(__NR_setpriority, 0, 0, p->nice)) < 0) fail(p, r);
  }
  if (p->oom_score_adj != kUnset) write_oom_score(p);
}

// Before the descriptors are placed: one of them may be meant for its number. A guardian's command starts where it is
// itself: its plan says nothing of it.
CHILD_INLINE void start_from_directory([[maybe_unused]] ChildPlan* p) {
#ifndef PROCGROUP_GUARDIAN
  if (p->cwd_fd < 0) return;
  p->stage = Stage::Chdir;
  long r = call(__NR_fchdir, p->cwd_fd);
  if (r < 0) fail(p, r);
#endif
}

CHILD_INLINE void change_directory(ChildPlan* p) {
  if (p->cwd == nullptr) return;
  p->stage = Stage::Chdir;
  long r = call(__NR_chdir, arg(p->cwd));
  if (r < 0) fail(p, r);
}

CHILD_INLINE void set_rlimits(ChildPlan* p) {
  p->stage = Stage::Rlimit;
  for (int32_t i = 0; i < p->rlimit_count; i++) {
    const RlimitSet& l = p->rlimits[i];
    uint64_t value[2] = {l.soft, l.hard};
    long r;
    if (l.keep_hard) {
      uint64_t now[2] = {0, 0};
      if ((r = call(__NR_prlimit64, 0, l.resource, 0, arg(now))) < 0) fail(p, r, l.resource);
      value[1] = now[1];  // NOLINT(clang-analyzer-core.uninitialized.Assign): prlimit64 wrote it
    }
    if ((r = call(__NR_prlimit64, 0, l.resource, arg(value), 0)) < 0) fail(p, r, l.resource);
  }
}

}  // namespace procgroup
