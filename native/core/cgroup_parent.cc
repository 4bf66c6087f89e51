// Which directory leaves go below.
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cgroup.h"
#include "text.h"

namespace procgroup {
namespace {

constexpr long kCgroup2Magic = 0x63677270;  // CGROUP2_SUPER_MAGIC

bool read_whole(const char* path, Vec<char>* out) {
  Fd fd(open(path, O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return false;
  char text[4096];
  ssize_t n;
  while ((n = read(fd.get(), text, sizeof text)) > 0) {
    for (ssize_t i = 0; i < n; i++) out->push(text[i]);
  }
  out->push(0);
  return n == 0;
}

// The next field of a line, up to a blank; `\040` and its kin undone.
const char* field(const char* at, Vec<char>* out) {
  out->clear();
  while (*at != 0 && *at != ' ' && *at != '\n') {
    bool octal = *at == '\\' && at[1] >= '0' && at[1] <= '3' && at[2] != 0 && at[3] != 0;
    out->push(octal ? static_cast<char>((at[1] - '0') << 6 | (at[2] - '0') << 3 | (at[3] - '0')) : *at);
    at += octal ? 4 : 1;
  }
  out->push(0);
  return *at == ' ' ? at + 1 : at;
}

const char* next_line(const char* at) {
  const char* end = strchr(at, '\n');
  return end == nullptr ? at + strlen(at) : end + 1;
}

// Our cgroup of the v2 hierarchy as a path below its root. proc(5), /proc/PID/cgroup.
bool own_cgroup(Vec<char>* out) {
  Vec<char> text;
  if (!read_whole("/proc/self/cgroup", &text)) return false;
  for (const char* line = text.data(); *line != 0; line = next_line(line)) {
    if (strncmp(line, "0::", 3) != 0) continue;
    out->clear();
    for (const char* c = line + 3; *c != 0 && *c != '\n'; c++) out->push(*c);
    out->push(0);
    return true;
  }
  return false;
}

// "/a/b" below the root "/a" is "/b"; null: it is not below it.
const char* below(const char* path, const char* root) {
  size_t length = strcmp(root, "/") == 0 ? 0 : strlen(root);
  if (strncmp(path, root, length) != 0 || (path[length] != '/' && path[length] != 0)) return nullptr;
  return strcmp(path + length, "/") == 0 ? path + length + 1 : path + length;
}

// The first mount of the v2 hierarchy that shows the cgroup `own`. proc(5), /proc/PID/mountinfo.
bool find_mount(const char* own, CgroupMount* out) {
  if (!out->point.empty() && below(own, out->root.data()) != nullptr) return true;
  Vec<char> mounts, skipped, kind;
  if (!read_whole("/proc/self/mountinfo", &mounts)) return false;
  for (const char* line = mounts.data(); *line != 0; line = next_line(line)) {
    const char* at = line;
    for (int i = 0; i < 3; i++) at = field(at, &skipped);
    at = field(field(at, &out->root), &out->point);
    do at = field(at, &skipped);
    while (*at != 0 && *at != '\n' && strcmp(skipped.data(), "-") != 0);
    field(at, &kind);
    if (strcmp(kind.data(), "cgroup2") == 0 && below(own, out->root.data()) != nullptr) return true;
  }
  out->point.clear();
  return false;
}

// The directory of our own cgroup; `root` is the length of its mount's path.
bool own_directory(CgroupMount* mount, Vec<char>* out, size_t* root) {
  Vec<char> own;
  if (!own_cgroup(&own) || strncmp(own.data(), "/..", 3) == 0 || !find_mount(own.data(), mount)) return false;
  out->clear();
  append(mount->point.data(), out);
  *root = out->size();
  append(below(own.data(), mount->root.data()), out);
  out->push(0);
  return true;
}

bool may_make_leaves(int directory) {
  return faccessat(directory, ".", W_OK, AT_EACCESS) == 0 &&
         faccessat(directory, "cgroup.procs", W_OK, AT_EACCESS) == 0;
}

bool has_word(const char* text, const char* word) {
  size_t length = strlen(word);
  for (const char* at = text; (at = strstr(at, word)) != nullptr; at += length) {
    bool begins = at == text || at[-1] == ' ' || at[-1] == '\n';
    if (begins && (at[length] == 0 || at[length] == ' ' || at[length] == '\n')) return true;
  }
  return false;
}

bool has_controllers(int directory, const char* file, const Limits& limits) {
  char text[512], name[32];
  if (read_cgroup(directory, file, text, sizeof text) < 0) return false;
  for (size_t i = 0; i + 1 < limits.size(); i += 2) {
    controller_of(limits[i], name, sizeof name);
    if (name[0] != 0 && !has_word(text, name)) return false;
  }
  return true;
}

// Cuts the last component off, but nothing of the mount's own path.
bool ascend(Vec<char>* path, size_t root) {
  if (path->size() <= root + 1) return false;
  path->pop();
  while (path->size() > root && path->back() != '/') path->pop();
  if (path->size() > root) path->pop();
  path->push(0);
  return true;
}

// How far up the hierarchy is ours to arrange: systemd marks the cgroup that it delegates, elsewhere ownership tells,
// which says nothing about root.
size_t boundary(const Vec<char>& own, size_t root) {
  Vec<char> path;
  append(own.begin(), &path);
  path.push(0);
  do {
    char value[8];
    if (getxattr(path.data(), "user.delegate", value, sizeof value) > 0 ||
        getxattr(path.data(), "trusted.delegate", value, sizeof value) > 0) {
      return path.size();
    }
  } while (ascend(&path, root));
  return geteuid() == 0 ? own.size() : root + 1;
}

}  // namespace

bool serves_limits(int directory, const Limits& limits) {
  if (has_controllers(directory, "cgroup.subtree_control", limits)) return true;
  if (!has_controllers(directory, "cgroup.controllers", limits)) return false;
  char text[64];
  bool root = faccessat(directory, "cgroup.type", F_OK, 0) != 0;
  return root || read_cgroup(directory, "cgroup.procs", text, sizeof text) == 0;
}

Error find_cgroup_parent(const char* given, const Limits& limits, CgroupMount* mount, Vec<char>* out) {
  if (given != nullptr && *given != 0) {
    out->clear();
    append(given, out);
    out->push(0);
    struct statfs kind;
    if (statfs(given, &kind) != 0) return make_error(errno, Stage::Cgroup, "statfs");
    // ENOTSUP: a directory, but none of a cgroup v2 hierarchy.
    return kind.f_type == kCgroup2Magic ? Error{} : make_error(ENOTSUP, Stage::Cgroup, "statfs");
  }
  size_t root = 0;
  errno = 0;
  if (!own_directory(mount, out, &root)) {
    // Without a descriptor nobody can tell: that is no word on the machine.
    bool shortage = errno == EMFILE || errno == ENFILE;
    return make_error(shortage ? errno : ENOTSUP, Stage::Cgroup, "mountinfo");
  }
  Fd own(open(out->data(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!own.valid()) return make_error(errno, Stage::Cgroup, "open");
  if (!may_make_leaves(own.get())) return make_error(EACCES, Stage::Cgroup, "access");
  if (limits.empty() || serves_limits(own.get(), limits)) return {};
  Vec<char> path;
  append(out->data(), &path);
  path.push(0);
  size_t highest = boundary(*out, root);
  while (path.size() > highest && ascend(&path, root)) {
    Fd above(open(path.data(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!above.valid() || !may_make_leaves(above.get())) break;
    if (!serves_limits(above.get(), limits)) continue;
    path.swap(*out);
    return {};
  }
  return {};  // nobody fits: our own will say what is in the way
}

}  // namespace procgroup
