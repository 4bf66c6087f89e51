// Namespaces and cgroup of the child, set up between clone and exec. Part of child.cc: see there for what is forbidden.
#pragma once
#include <fcntl.h>
#include <sys/syscall.h>

#include "child_syscall.h"
#include "plan.h"

namespace procgroup {

// Which part of Stage::Namespace failed, as its index; lib/namespace.ts names them.
enum NamespacePart : int32_t { kUidMap = 1, kGidMap, kPropagation, kProcMount };

[[noreturn]] static void fail(ChildPlan* p, long result, int32_t index);

CHILD_INLINE long write_text(const char* path, const char* text) {
  long fd = call(__NR_openat, AT_FDCWD, arg(path), O_WRONLY | O_CLOEXEC, 0);
  if (fd < 0) return fd;
  long length = 0;
  while (text[length] != 0) length++;
  long r = call(__NR_write, fd, arg(text), length);
  call(__NR_close, fd);
  return r;
}

// Before exec, while a new user namespace still gives every capability in it: exec as anybody but root takes them away.
// mount(2), user_namespaces(7).
CHILD_INLINE void enter_namespaces(ChildPlan* p) {
  if (p->namespaces == 0) return;
  p->stage = Stage::Namespace;
  static const char setgroups[] = "/proc/self/setgroups", deny[] = "deny", root[] = "/", proc[] = "proc";
  static const char uids[] = "/proc/self/uid_map", gids[] = "/proc/self/gid_map", place[] = "/proc";
  constexpr long kRecursive = 16384, kSlave = 1 << 19, kNoSuid = 2, kNoDev = 4, kNoExec = 8;  // MS_ flags
  long r;
  if (p->uid_map != nullptr) {
    write_text(setgroups, deny);  // without it a gid map is refused; Linux before 3.19 has no such file
    if ((r = write_text(uids, p->uid_map)) < 0) fail(p, r, kUidMap);
    if ((r = write_text(gids, p->gid_map)) < 0) fail(p, r, kGidMap);
  }
  // Mounts of the outside go on to appear and disappear here, so that none is kept busy; ours do not appear there.
  if ((r = call(__NR_mount, 0, arg(root), 0, kRecursive | kSlave, 0)) < 0) fail(p, r, kPropagation);
  r = call(__NR_mount, arg(proc), arg(place), arg(proc), kNoSuid | kNoDev | kNoExec, 0);
  if (r < 0) fail(p, r, kProcMount);
}

// The descriptor was opened with our parent's rights, which are what counts; 0 is whoever writes.
CHILD_INLINE void join_cgroup(ChildPlan* p) {
  if (p->cgroup_procs_fd < 0) return;
  p->stage = Stage::Cgroup;
  char self = '0';
  long r = call(__NR_write, p->cgroup_procs_fd, arg(&self), 1);
  if (r < 0) fail(p, r, -1);
}

}  // namespace procgroup
