// `procgroup sweep`: leaves of containment `cgroup` whose guardian and supervisor were killed together.
#include "sweep.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cli_run.h"
#include "cli_text.h"
#include "core/cgroup.h"
#include "core/kernel.h"
#include "core/procfs.h"

namespace procgroup {
namespace {

constexpr int kDeepest = 16;
constexpr uint64_t kInitialNamespace = 0xEFFFFFFC;  // PROC_PID_INIT_INO: from there every process can be seen
constexpr uint64_t kBound = 2'000'000'000;          // for the end of those who are killed

const char kUsage[] = R"(Usage: procgroup sweep [options] [DIRECTORY]...

Finds cgroups that a procgroup which is gone has left behind, kills who is still in them and removes them. Looks in the
given directories and below, or where this user's own would be made.

  --list     only show them
  --json     one JSON object
  --help     this text

Exit status: 0; 1 where something is left behind, or could not be removed; 125 on bad use or failure.
)";

enum class State : uint8_t { Reaped, Abandoned, InUse, Foreign, Failed };
const char* const kStates[] = {"reaped", "abandoned", "in-use", "foreign", "failed"};

struct Owner {
  uint64_t pid, start, space, number;
};

// "procgroup.PID.START.NAMESPACE.NUMBER"
bool parse_owner(const char* name, Owner* out) {
  if (strncmp(name, kLeafPrefix, sizeof kLeafPrefix - 1) != 0) return false;
  const char* at = name + sizeof kLeafPrefix - 1;
  uint64_t parts[4];
  for (int i = 0; i < 4; i++) {
    if (*at < '0' || *at > '9') return false;
    for (parts[i] = 0; *at >= '0' && *at <= '9'; at++) parts[i] = parts[i] * 10 + static_cast<uint64_t>(*at - '0');
    if (*at++ != (i < 3 ? '.' : 0)) return false;
  }
  *out = {parts[0], parts[1], parts[2], parts[3]};
  return true;
}

uint64_t namespace_of(int process) {
  struct stat space;
  return fstatat(process, "ns/pid", &space, 0) == 0 ? space.st_ino : 0;
}

class Sweep {
 public:
  bool list = false, json = false;
  int status = 0;

  Sweep() {
    proc_.open(kFirst);
    Fd self(proc_.open_process(getpid()));
    own_space_ = namespace_of(self.get());
  }
  void directory(const char* path, int depth);
  void end();

 private:
  static constexpr int kFirst = 3;
  bool owner_lives(const Owner& owner, bool* known);
  // False: it is in use, and may have leaves of others below it.
  bool leaf(int parent, const char* path, const char* name, const Owner& owner);
  int reap(int parent, const char* name, int leaf);
  void tell(const char* path, const Owner& owner, size_t processes, State state, int err);

  ProcFs proc_;
  uint64_t own_space_ = 0;
  Text out_;
  bool first_ = true;
};

// In another namespace the owner goes by another number here: its status tells the one that it has there.
bool Sweep::owner_lives(const Owner& owner, bool* known) {
  ProcStat stat;
  *known = true;
  if (owner.space == own_space_) {
    bool taken = proc_.stat(static_cast<pid_t>(owner.pid), &stat) && stat.alive();
    *known = !taken || owner.start != 0;
    return taken && stat.start_time == owner.start;
  }
  bool lives = false;
  bool whole = proc_.scan([&](const ProcStat& process) {
    if (process.start_time != owner.start || !process.alive()) return;
    Fd directory(proc_.open_process(process.pid));
    uint64_t space = directory.valid() ? namespace_of(directory.get()) : 0;
    char text[4096];
    if ((space != 0 && space != owner.space) || read_cgroup(directory.get(), "status", text, sizeof text) < 0) return;
    const char* line = strstr(text, "NSpid:");
    const char* end = line == nullptr ? nullptr : strchr(line, '\n');
    const char* at = end;
    while (at != nullptr && at > line && at[-1] != '\t') at--;
    lives |= at != nullptr && cgroup_value(at, "") == static_cast<int64_t>(owner.pid);
  });
  *known = lives || (whole && own_space_ == kInitialNamespace && proc_.stat(1, &stat));
  return lives;
}

int Sweep::reap(int parent, const char* name, int leaf) {
  Fd events(openat(leaf, "cgroup.events", O_RDONLY | O_CLOEXEC));
  int r = write_cgroup(leaf, "cgroup.kill", "1");
  if (r == -ENOENT) {  // before Linux 5.14: one by one, while nobody can fork
    write_cgroup(leaf, "cgroup.freeze", "1");
    Vec<int> pids;
    cgroup_processes(leaf, &pids);
    for (int pid : pids) {
      Fd pidfd(sys_pidfd_open(pid));
      if (in_cgroup(proc_, pid, name)) signal_process(pidfd.get(), pid, SIGKILL);
    }
    write_cgroup(leaf, "cgroup.freeze", "0");
  } else if (r < 0) {
    return r;
  }
  uint64_t end = now_ns() + kBound;
  while (cgroup_populated(leaf) > 0) {
    uint64_t now = now_ns();
    if (now >= end) return -EBUSY;
    char text[256];
    if (pread(events.get(), text, sizeof text - 1, 0) < 0 && errno != ENODEV) return -errno;
    if (cgroup_populated(leaf) == 0) break;
    struct pollfd polled = {events.get(), POLLPRI, 0};
    poll(&polled, 1, static_cast<int>((end - now) / 1'000'000) + 1);
  }
  return remove_cgroup(parent, name);
}

bool Sweep::leaf(int parent, const char* path, const char* name, const Owner& owner) {
  Fd leaf(openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!leaf.valid()) return true;  // gone meanwhile
  Vec<int> pids;
  cgroup_processes(leaf.get(), &pids);
  bool known = true;
  // Its guardian holds the lock; and so do we while we reap. Not tried while the owner lives: a guardian that is about
  // to take it must not find it taken.
  bool in_use = owner_lives(owner, &known) || flock(leaf.get(), LOCK_EX | LOCK_NB) != 0;
  // Where a supervisor moved itself nobody is contained. Who lives there was started otherwise: the guardian of another
  // leaf, which may be in the middle of its ladder, or a process that was left running on purpose.
  in_use |= known && owner.number == 0 && cgroup_populated(leaf.get()) != 0;
  in_use |= in_cgroup(proc_, getpid(), name);  // we would not live to tell
  State state = in_use ? State::InUse : known ? State::Abandoned : State::Foreign;
  int r = state == State::Abandoned && !list ? reap(parent, name, leaf.get()) : 1;
  if (r <= 0) state = r < 0 ? State::Failed : State::Reaped;
  tell(path, owner, pids.size(), state, r < 0 ? -r : 0);
  return !in_use;
}

void Sweep::tell(const char* path, const Owner& owner, size_t processes, State state, int err) {
  const char* name = kStates[static_cast<int>(state)];
  if (status == 0 && (state == State::Abandoned || state == State::Failed)) status = 1;
  if (!json) {
    out_.add(name).add(" ").printable(path).add(", owner ").add(static_cast<int64_t>(owner.pid)).add(", ");
    out_.add(static_cast<int64_t>(processes)).add(processes == 1 ? " process" : " processes");
    if (err != 0) add_errno(out_.add(": "), err);
    out_.add("\n");
    return;
  }
  out_.add(first_ ? "{\"leaves\":[" : ",");
  first_ = false;
  out_.add("{\"path\":").json(path).add(",\"ownerPid\":").add(static_cast<int64_t>(owner.pid));
  out_.add(",\"ownerStartTime\":").add(static_cast<int64_t>(owner.start)).add(",\"processes\":");
  out_.add(static_cast<int64_t>(processes)).add(",\"state\":\"").add(name).add("\",\"error\":");
  if (err == 0)
    out_.add("null}");
  else
    add_errno(out_.add("\""), err).add("\"}");
}

void Sweep::directory(const char* path, int depth) {
  Fd directory(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid()) {
    if (depth < kDeepest) return;
    Text text;
    warn(add_errno(text.add("cannot read ").printable(path).add(": "), errno));
    status = kFailed;
    return;
  }
  Vec<char> names;  // first: what is removed changes the directory
  cgroup_children(directory.get(), &names);
  for (const char* name = names.begin(); name < names.end(); name += strlen(name) + 1) {
    Vec<char> below;
    for (const char* c = path; *c != 0; c++) below.push(*c);
    below.push('/');
    for (const char* c = name; *c != 0; c++) below.push(*c);
    below.push(0);
    Owner owner;
    bool done = parse_owner(name, &owner) && leaf(directory.get(), below.data(), name, owner);
    if (!done && depth > 0) this->directory(below.data(), depth - 1);
  }
}

void Sweep::end() {
  if (json) out_.add(first_ ? "{\"leaves\":[]}\n" : "]}\n");
  int printed = print(out_.data(), out_.size());
  if (printed != 0) status = printed;
}

[[noreturn]] void refuse(const char* what, const char* word) {
  Text text;
  warn(text.add(what).add(" '").printable(word).add("' (procgroup sweep --help)"));
  _exit(kFailed);
}

}  // namespace

void sweep_command(char** argv) {
  set_program_name("procgroup sweep");
  Sweep sweep;
  int directories = 0;
  bool words = false;
  for (char** at = argv; *at != nullptr; at++) {
    const char* word = *at;
    if (words || word[0] != '-') continue;
    words = strcmp(word, "--") == 0;
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
      _exit(print(kUsage, sizeof kUsage - 1));
    }
    if (strcmp(word, "--list") == 0)
      sweep.list = true;
    else if (strcmp(word, "--json") == 0)
      sweep.json = true;
    else if (!words)
      refuse("unknown option", word);
  }
  words = false;
  for (char** at = argv; *at != nullptr; at++) {
    if (!words && **at == '-') {
      words = strcmp(*at, "--") == 0;
      continue;
    }
    if (**at != '/') refuse("not an absolute path:", *at);
    sweep.directory(*at, kDeepest);
    directories++;
  }
  if (directories == 0) {
    Vec<char> parent;
    CgroupMount mount;
    Error error = find_cgroup_parent(nullptr, Limits(), &mount, &parent);
    if (error.failed()) {
      Text text;
      warn(add_errno(text.add("no place for cgroups of ours: ").add(error.syscall).add(": "), error.err));
      _exit(kFailed);
    }
    sweep.directory(parent.data(), kDeepest);
  }
  sweep.end();
  _exit(sweep.status);
}

}  // namespace procgroup
