// Containments that the kernel keeps, on the command line.
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cli_run.h"
#include "cli_text.h"
#include "core/cgroup.h"
#include "core/group.h"
#include "core/namespaces.h"

namespace procgroup {
namespace {

constexpr int kFirstOwn = 3;

int g_outer_proc = -1;

[[noreturn]] void give_up(const char* what, int err) {
  Text text;
  warn(add_errno(text.add("containment namespace: ").add(what).add(": "), err));
  _exit(kFailed);
}

int write_file(const char* path, const char* text) { return write_cgroup(AT_FDCWD, path, text); }

// In the child, which is init of the new PID namespace.
void set_up(const IdMaps* maps) {
  int r = 0;
  if (maps != nullptr) {
    write_file("/proc/self/setgroups", "deny");  // without it a gid map is refused
    if ((r = write_file("/proc/self/uid_map", maps->uid)) < 0) give_up("uid_map", -r);
    if ((r = write_file("/proc/self/gid_map", maps->gid)) < 0) give_up("gid_map", -r);
  }
  if (mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0) give_up("the mounts cannot be set apart", errno);
  if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0) {
    give_up("/proc cannot be mounted", errno);
  }
}

// The end of our namespace's processes has left the terminal to a group that is empty.
void take_terminal_back(pid_t owner) {
  if (owner != getpgrp()) return;
  for (int fd = 0; fd <= 2; fd++) {
    pid_t now = tcgetpgrp(fd);
    if (now > 0 && now != owner && killpg_guarded(now, 0) == -ESRCH) tcsetpgrp(fd, owner);
  }
}

pid_t terminal_owner() {
  for (int fd = 0; fd <= 2; fd++) {
    pid_t owner = tcgetpgrp(fd);
    if (owner >= 0) return owner;
  }
  return -1;
}

// Outside: whatever is sent to us is for init, but for what the terminal sends to its whole foreground group, which
// init is in as well.
[[noreturn]] void stay_outside(pid_t init, pid_t terminal) {
  uint64_t all = ~uint64_t{0};
  int signals = static_cast<int>(syscall(SYS_signalfd4, -1, &all, sizeof all, SFD_CLOEXEC));
  for (;;) {
    WaitStatus status;
    if (sys_waitid_exit(-1, init, 0, &status) < 0 || status.ready) {
      take_terminal_back(terminal);
      _exit(status.ready && status.signal == 0 ? status.code : kFailed);
    }
    struct signalfd_siginfo info = {};
    if (read(signals, &info, sizeof info) != static_cast<ssize_t>(sizeof info)) continue;
    bool ours_alone = (info.ssi_signo == SIGHUP || info.ssi_signo == SIGCONT) && getsid(0) == getpid();
    if (info.ssi_signo == SIGCHLD || (info.ssi_code == SI_KERNEL && !ours_alone)) continue;
    signal_process(-1, init, static_cast<int>(info.ssi_signo));
  }
}

}  // namespace

void become_init() {
  IdMaps maps;
  bool user = !has_sys_admin();
  if (user) maps.fill();
  pid_t terminal = terminal_owner();
  g_outer_proc = fcntl(open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC), F_DUPFD_CLOEXEC, kFirstOwn);
  if (g_outer_proc < 0) give_up("/proc cannot be opened", errno);
  int alive[2];  // its other end is ours alone: an end of file says that we are dead
  if (pipe2(alive, O_CLOEXEC) != 0) give_up("pipe2", errno);
  uint64_t all = ~uint64_t{0}, before = 0;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof all);
  reset_action(SIGCHLD);
  uint64_t flags = kNewPid | kNewNs | (user ? kNewUser : 0);
  long pid = syscall(SYS_clone, flags | SIGCHLD, nullptr, nullptr, nullptr, nullptr);
  if (pid < 0) give_up("the namespaces cannot be made", errno);
  if (pid > 0) {
    close(alive[0]);
    stay_outside(static_cast<pid_t>(pid), terminal);
  }
  close(alive[1]);
  set_up(user ? &maps : nullptr);
  // From our parent, which is outside, SIGKILL reaches an init too. prctl(2).
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  fcntl(alive[0], F_SETFL, O_NONBLOCK);
  char none;
  if (read(alive[0], &none, 1) == 0) _exit(kFailed);
  close(alive[0]);
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, nullptr, sizeof before);
}

Error Run::enter_box() {
  Box* box = nullptr;
  Error error;
  if (options_.containment == Containment::Namespace) {
    error = open_namespace_box(Fd(g_outer_proc), &box);
  } else {
    Vec<char> parent, name;
    CgroupMount mount;
    error = find_cgroup_parent(options_.cgroup_parent, options_.limits, &mount, &parent);
    if (error.failed()) return error;
    name_leaves(&name);
    name.push('0');
    name.push(0);
    Fd directory(move_high(open(parent.data(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), kFirstOwn));
    if (!directory.valid()) return make_error(errno, Stage::Cgroup, "open");
    error = open_cgroup_box(static_cast<Fd&&>(directory), name.data(), options_.limits, kFirstOwn, &box);
  }
  if (!error.failed()) guard_.enter(box);
  return error;
}

void Run::box_started() {
  NewsMessage placed = {};
  placed.pid = placed_.pid, placed.pgid = placed_.pgid;
  guard_.box()->on_started(&placed);
  placed_ = {placed.pid, placed.pgid};
}

}  // namespace procgroup
