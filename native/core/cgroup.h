// cgroup v2: where a leaf may be made, and what is done with one. Other hierarchies may be mounted beside it and do not
// matter. cgroups(7). cgroup.freeze since Linux 5.2, cgroup.kill since 5.14.
#pragma once
#include <stdint.h>
#include <sys/types.h>

#include "fd.h"
#include "result.h"
#include "vec.h"

namespace procgroup {

// A leaf is named "procgroup.PID.START.NAMESPACE.NUMBER": pid and start time of its owner, the inode of the owner's PID
// namespace. Its guardian holds an flock on it: where that is free and the owner is dead, the leaf was left behind.
class ProcFs;

constexpr char kLeafPrefix[] = "procgroup.";

// All of it but the number, which append_number() adds. False: start time or namespace are not known (a full descriptor
// table, a /proc of others), and 0.
bool name_leaves(Vec<char>* out);

// File and value in turn: what is written to a new leaf.
using Limits = Vec<const char*>;

// Where the v2 hierarchy is mounted, and which cgroup that shows: kept by whoever asks often. Empty: not looked for
// yet.
struct CgroupMount {
  Vec<char> root, point;
};

// The directory that leaves go below, absolute and NUL-terminated: `given` (null or empty: none), else our own cgroup,
// or for limits the nearest one above it that is delegated to us too and has (or may have) their controllers for its
// children.
Error find_cgroup_parent(const char* given, const Limits& limits, CgroupMount* mount, Vec<char>* out);

// Its children have the controllers of these limits, or may have them: no process is in it, or it is the root.
bool serves_limits(int directory, const Limits& limits);

// "memory" for "memory.max"; empty for files that every cgroup has.
void controller_of(const char* file, char* out, size_t size);

// A file of a cgroup as text. Its length, or a negative errno.
ssize_t read_cgroup(int directory, const char* file, char* text, size_t size);
// 0 or a negative errno.
int write_cgroup(int directory, const char* file, const char* text);
// The number after `key` at the start of a line, or of the whole text where key is empty; -1: not there. "max": -1.
int64_t cgroup_value(const char* text, const char* key);
// 1, 0, or a negative errno: live processes in it or below it.
int cgroup_populated(int directory);
// Those in it and below it that our PID namespace can name; a zombie may be among them.
void cgroup_processes(int directory, Vec<int>* out);
// A process that is in the cgroup `leaf` (its name) or below it, by /proc/PID/cgroup.
bool in_cgroup(ProcFs& proc, pid_t pid, const char* leaf);
// Names of the cgroups directly below, each with its NUL.
void cgroup_children(int directory, Vec<char>* out);
// rmdir(2), what is below it first. 0 (also where it is not there), or a negative errno: EBUSY while somebody lives in
// it.
int remove_cgroup(int parent, const char* name);

}  // namespace procgroup
