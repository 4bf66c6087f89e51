// The guardian's layer of system calls, over the world: what kernel.cc, procfs.cc and leader.cc would ask
// Linux.
#include <stdarg.h>

#include "core/kernel.h"
#include "core/procfs.h"
#include "core/spawn.h"
#include "guardian/box.h"
#include "guardian/leader.h"
#include "world.h"

void fake__exit(int) { throw Ended{}; }
int fake_chdir(const char*) { return 0; }
int fake_dup2(int, int to) { return to; }
int fake_fcntl(int, int, ...) { return 0; }
int fake_getpgrp() { return kSelf; }
int fake_getpid() { return kSelf; }
int fake_open(const char* path, int, ...) { return strcmp(path, "/dev/null") == 0 ? 0 : -1; }
int fake_prctl(int, ...) { return 0; }
int fake_setpgid(int, int) { return 0; }
int fake_setpriority(int, unsigned, int) { return 0; }
long fake_syscall(long number, ...) { return number == SYS_signalfd4 ? kSignalFd : 0; }
int fake_tcgetpgrp(int) { return -1; }
int fake_tcsetpgrp(int, int) { return 0; }

int fake_close(int fd) {
  if (fd < 1 << 16) return 0;  // no pidfd
  for (size_t i = 0; i < world->open_fds.size(); i++) {
    if (world->open_fds[i] != fd) continue;
    world->open_fds.erase(world->open_fds.begin() + static_cast<long>(i));
    return 0;
  }
  broken("a descriptor is closed twice");
}

int fake_kill(int pid, int sig) {
  int r = pid > 0 ? world->raise(pid, sig) : pid < -1 ? world->raise_group(-pid, sig) : -EINVAL;
  if (pid == 0 || pid == -1) broken("kill to everybody");
  errno = -r;
  return r == 0 ? 0 : -1;
}

int fake_nanosleep(const struct timespec* pause, struct timespec*) {
  world->now += static_cast<uint64_t>(pause->tv_sec) * 1'000'000'000 + static_cast<uint64_t>(pause->tv_nsec);
  world->tick();
  return 0;
}

namespace {

int ready(struct pollfd* fds, unsigned long count) {
  int found = 0;
  for (unsigned long i = 0; i < count; i++) {
    short& got = fds[i].revents = 0;
    switch (fds[i].fd) {
      case kSignalFd:
        if (world->child_signal || world->pending_signals > 0) got = POLLIN;
        break;
      case kSupervisorFd:
        if (world->supervisor_dead) got = POLLIN;
        break;
      case kVerdictFd:
        if (world->verdict != 0) got = POLLIN;
        break;
      case kSocketFd:
        if ((fds[i].events & POLLIN) && (!world->packets.empty() || world->hung_up)) got = POLLIN;
        if (world->hung_up) got |= POLLHUP;
        if ((fds[i].events & POLLOUT) && !world->socket_full) got |= POLLOUT;
        break;
    }
    found += got != 0;
  }
  return found;
}

}  // namespace

int fake_poll(struct pollfd* fds, unsigned long count, int) { return ready(fds, count); }

int fake_ppoll(struct pollfd* fds, unsigned long count, const struct timespec* timeout, const void*) {
  uint64_t deadline = UINT64_MAX;
  if (timeout != nullptr) {
    uint64_t wait = static_cast<uint64_t>(timeout->tv_sec) * 1'000'000'000 + static_cast<uint64_t>(timeout->tv_nsec);
    deadline = world->now + wait < world->now ? UINT64_MAX : world->now + wait;
  }
  for (;;) {
    if (++world->steps > 50'000) broken("the loop does not come to its end");
    if (int n = ready(fds, count)) return n;
    if (deadline <= world->now) return 0;
    if (!world->in.empty()) {
      world->event();
      continue;
    }
    if (deadline != UINT64_MAX) world->now = deadline;
    world->close_down();
    if (deadline != UINT64_MAX) return 0;
  }
}

ssize_t fake_read(int fd, void* buffer, size_t size) {
  auto* info = static_cast<struct signalfd_siginfo*>(buffer);
  if (fd != kSignalFd || size < sizeof *info) broken("read of something else than the signalfd");
  if (!world->child_signal && world->pending_signals == 0) {
    errno = EAGAIN;
    return -1;
  }
  memset(info, 0, sizeof *info);
  info->ssi_signo = world->child_signal ? SIGCHLD : SIGTERM;
  if (world->child_signal)
    world->child_signal = false;
  else
    world->pending_signals--;
  return sizeof *info;
}

ssize_t fake_recv(int, void* buffer, size_t size, int) {
  if (world->packets.empty()) {
    errno = EAGAIN;
    return world->hung_up ? 0 : -1;
  }
  std::vector<uint8_t> packet = world->packets.front();
  world->packets.pop_front();
  if (!packet.empty()) memcpy(buffer, packet.data(), packet.size() < size ? packet.size() : size);
  procgroup::OrderMessage order = {};
  if (packet.size() == sizeof order) memcpy(&order, packet.data(), sizeof order);
  if (valid(order, static_cast<long>(packet.size())) && order.type == procgroup::Order::Release) {
    world->released |= world->executed;
  }
  return static_cast<ssize_t>(packet.size());  // MSG_TRUNC
}

ssize_t fake_sendmsg(int, const struct msghdr* message, int) {
  if (world->socket_full) {
    errno = EAGAIN;
    return -1;
  }
  procgroup::NewsMessage news;
  memcpy(&news, message->msg_iov->iov_base, sizeof news);
  world->heard(news, static_cast<long>(message->msg_iov->iov_len));
  return static_cast<ssize_t>(message->msg_iov->iov_len);
}

namespace procgroup {

uint64_t now_ns() { return world->now; }
int move_high(int fd, int) { return fd; }
void sys_close_range(int, int) {}

ProbeResult probe_kernel(uint32_t) {
  ProbeResult result;
  if (world->group_flag && world->pidfds) result.available |= kFeaturePidfdGroup;
  if (world->pidfds) result.available |= kFeaturePidfd;
  return result;
}

uint32_t probe_pidfd_signals() { return probe_kernel(0).available & (kFeaturePidfd | kFeaturePidfdGroup); }

int sys_pidfd_open(pid_t pid) {
  world->tick();
  if (!world->pidfds) return -ENOSYS;
  return world->find(pid) != nullptr ? world->new_fd(pid) : -ESRCH;
}

int sys_pidfd_send_signal(int fd, int sig, uint32_t flags) {
  world->tick();
  if (fd == kSupervisorFd) return sig == 0 ? 0 : (broken("the supervisor is signalled"), 0);
  Process* process = world->of_fd(fd);
  // The pidfd of a reaped leader still names its group.
  if (flags & kPidfdSignalProcessGroup) return world->raise_group(process != nullptr ? process->pgid : fd >> 16, sig);
  return process == nullptr ? -ESRCH : world->raise(process->pid, sig);
}

int sys_waitid(int, int, siginfo_t* info, int options, Usage*) { return world->wait_any(info, options); }

bool ProcFs::open(int) { return true; }

bool ProcFs::stat(pid_t pid, ProcStat* out) {
  world->tick();
  *out = {};
  Process* process = world->find(pid);
  if (process == nullptr) return false;
  out->pid = pid, out->ppid = process->ppid, out->pgid = process->pgid, out->sid = process->sid;
  out->state = process->state, out->num_threads = 1, out->start_time = process->born;
  return true;
}

void ProcFs::wchan(pid_t, char* out, size_t) { out[0] = 0; }
pid_t ProcFs::tracer(pid_t) { return 0; }
bool ProcFs::rewind() {
  at_ = 0;
  return true;
}
pid_t ProcFs::next() { return at_ < world->processes.size() ? world->processes[at_++].pid : 0; }

bool ProcFs::children(pid_t pid, Vec<int>* out) {
  world->tick();
  for (const Process& process : world->processes) {
    if (process.ppid == pid) out->push(process.pid);
  }
  return world->list_children;
}

// Containments of the kernel's have a world of their own: they are refused here.
Error open_box(const Config&, int, int, Box**) { return make_error(ENOTSUP, Stage::Cgroup, "mkdir"); }

Error Leader::start(const Command&, const Config& config, uint64_t, int, int, uint64_t, Box*) {
  plan_.isolation = static_cast<Isolation>(config.isolation);
  plan_.join_pgid = config.inherit_pgid;
  uint8_t refused = world->in.byte();
  if (refused == 1) return make_error(ENOENT, Stage::Lookup, "execve");
  return clone();
}

Error Leader::start_again() {
  error_ = {};
  return clone();
}

Error Leader::clone() {
  if (world->in.byte() == 1) return make_error(EAGAIN, Stage::Clone, "clone");
  Process leader = {world->next_pid++, kSelf, 0, kSupervisor};
  bool own = plan_.isolation != Isolation::Inherit;
  leader.pgid = own ? leader.pid : kSupervisor;
  if (plan_.isolation == Isolation::Session) leader.sid = leader.pid;
  leader.born = world->now / 10'000'000;
  uint8_t traits = world->in.byte();
  leader.ignores = traits & 1, leader.forks_on_term = traits & 2;
  leader.stuck = traits % 8 == 4;
  world->hangs = traits % 8 >= 4;
  world->processes.push_back(leader);
  pid_ = leader.pid;
  placed_.pgid = leader.pgid, placed_.sid = leader.sid;
  verdict_.reset(kVerdictFd);
  pidfd_.reset(world->pidfds ? world->new_fd(pid_) : -1);
  world->verdict = 0;
  return {};
}

// What failed ends, sooner or later: or a tracer holds it.
bool Leader::read_verdict(bool) {
  int verdict = world->verdict;
  world->verdict = 0;
  Process* leader = world->find(pid_);
  if (verdict == kAboutToExec) return false;
  if (verdict == kKilled) {
    give_up();
    return true;
  }
  if (verdict == kFailed) {
    error_ = make_error(world->verdict_error, Stage::Exec, "execve");
    if (leader != nullptr && leader->state != 'Z' && !leader->stuck) world->die(*leader, 127, 0);
    world->verdict = 0;
    return true;
  }
  if (leader != nullptr) leader->executed = true;
  world->executed = true;
  return true;
}

void Leader::give_up() {
  error_ = make_error(0, Stage::Exec, "execve");
  error_.term_signal = SIGKILL;
}

void Leader::release_stack() {}

const char* syscall_of(Stage) { return "execve"; }

}  // namespace procgroup
