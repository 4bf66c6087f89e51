// Containments that the kernel keeps, on the command line.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cli_fds.h"
#include "cli_run.h"
#include "cli_text.h"
#include "core/cgroup.h"
#include "core/group.h"
#include "core/namespaces.h"
#include "core/spawn.h"

namespace procgroup {
namespace {

constexpr int kFirstOwn = 3;

constexpr uint64_t kLastWait = 1'000'000'000;  // for init's end: the kernel holds it back while a member cannot die

constexpr uint16_t kStop = 0x100;  // plus a signal: what init says outside that is no exit status

// Of init; 0: none.
int g_outer_proc = 0;
int g_outside = 0;  // whoever is outside reads from its other end

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
void take_terminal_back(Terminal* terminal) {
  pid_t now = tcgetpgrp(terminal->fd());
  if (now > 0 && killpg_guarded(now, 0) == -ESRCH) terminal->take_back_from(now);
}

// Outside: whatever is sent to us is for init, but for what the terminal sends to its whole foreground group, which
// init is in as well. `ended` gives the status before init's end, which may not come while a tracer holds a member.
[[noreturn]] void stay_outside(pid_t init, Terminal* terminal, bool had_terminal, int alive, int ended) {
  uint64_t all = ~uint64_t{0};
  int signals = static_cast<int>(syscall(SYS_signalfd4, -1, &all, sizeof all, SFD_CLOEXEC | SFD_NONBLOCK));
  signals = move_high(signals, kFirstOwn);
  const int own[] = {signals, terminal->fd(), alive, ended};
  drop_command_descriptors(own, sizeof own / sizeof *own);
  bool unused = chdir("/") == 0;
  (void)unused;
  int status = kFailed;
  for (uint64_t until = kNever;;) {
    WaitStatus end;
    bool gone = sys_waitid_exit(-1, init, 0, &end) < 0 || end.ready;
    uint64_t now = now_ns();
    if (gone || now >= until) {
      if (had_terminal) take_terminal_back(terminal);
      _exit(!end.ready ? status : end.signal == 0 ? end.code : kFailed);
    }
    struct pollfd polled[] = {{signals, POLLIN, 0}, {until == kNever ? ended : -1, POLLIN, 0}};
    poll(polled, 2, until == kNever ? -1 : static_cast<int>((until - now) / 1'000'000) + 1);
    uint16_t told = kFailed;  // also where init has died
    if (polled[1].revents != 0 && read(ended, &told, sizeof told) > 0 && (told & kStop)) {
      StopSignal().stop(told & ~kStop);
    } else if (polled[1].revents != 0) {
      status = told;
      until = now_ns() + kLastWait;
    }
    struct signalfd_siginfo info = {};
    if (read(signals, &info, sizeof info) != static_cast<ssize_t>(sizeof info)) continue;
    bool ours_alone = (info.ssi_signo == SIGHUP || info.ssi_signo == SIGCONT) && getsid(0) == getpid();
    if (info.ssi_signo == SIGCHLD || (info.ssi_code == SI_KERNEL && !ours_alone)) continue;
    signal_process(-1, init, static_cast<int>(info.ssi_signo));
  }
}

}  // namespace

uint64_t become_init() {
  IdMaps maps;
  bool user = !has_sys_admin();
  if (user) maps.fill();
  Terminal terminal;
  terminal.find(kFirstOwn, getpgrp());
  bool had_terminal = terminal.ours();
  g_outer_proc = move_high(open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC), kFirstOwn);
  if (g_outer_proc < 0) give_up("/proc cannot be opened", errno);
  int alive[2], ended[2];  // an end of file says that the other side is dead
  if (pipe2(alive, O_CLOEXEC | O_NONBLOCK) != 0 || pipe2(ended, O_CLOEXEC) != 0) give_up("pipe2", errno);
  uint64_t all = ~uint64_t{0}, before = 0;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof all);
  reset_action(SIGCHLD);
  uint64_t flags = kNewPid | kNewNs | (user ? kNewUser : 0);
  long pid = syscall(SYS_clone, flags | SIGCHLD, nullptr, nullptr, nullptr, nullptr);
  if (pid < 0) give_up("the namespaces cannot be made", errno);
  if (pid > 0) {
    close(alive[0]);
    close(ended[1]);
    stay_outside(static_cast<pid_t>(pid), &terminal, had_terminal, move_high(alive[1], kFirstOwn),
                 move_high(ended[0], kFirstOwn));
  }
  close(alive[1]);
  close(ended[0]);
  g_outside = move_high(ended[1], kFirstOwn);
  set_up(user ? &maps : nullptr);
  // From our parent, which is outside, SIGKILL reaches an init too. prctl(2).
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  char none;
  if (read(alive[0], &none, 1) == 0) _exit(kFailed);
  close(alive[0]);
  return before;
}

int outside_fd() { return g_outside > 0 ? g_outside : -1; }

void tell_outside(int status) {
  uint16_t told = static_cast<uint16_t>(status);
  if (write(g_outside, &told, sizeof told) < 0) return;  // it is dead, and so are we
}

void stop_outside(int sig) { tell_outside(kStop | sig); }

// Our group and the terminal's foreground group as the outer /proc shows them: inside both are 0, whichever they are.
bool in_foreground_outside() {
  char text[512];
  if (g_outer_proc <= 0 || read_cgroup(g_outer_proc, "self/stat", text, sizeof text) < 0) return true;
  enum { kState, kParent, kGroup, kSession, kTerminal, kForeground, kFields };
  int fields[kFields] = {};
  const char* at = strrchr(text, ')');
  for (int i = 0; i < kFields && at != nullptr; i++) {
    at = strchr(at, ' ');
    if (at != nullptr) fields[i] = atoi(++at);
  }
  return at != nullptr && fields[kGroup] == fields[kForeground];
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
    name.push('1');  // 0 is what a supervisor moves itself into
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
