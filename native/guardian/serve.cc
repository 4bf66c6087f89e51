// The guardian in the service of an engine: orders and news over a socket, and the supervisor's end by its pidfd.
#include "serve.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/kernel.h"
#include "core/spawn.h"
#include "service.h"

namespace procgroup {
namespace {

constexpr int kOwnDescriptors = 512;  // ours live from here where strays are inherited
constexpr int kMostOwn = 32;
constexpr int kMostBusyRounds = 32;
constexpr int kMostOrders = 1024;    // more than a socket holds
constexpr size_t kFlushAfter = 256;  // members: about as many as a socket holds

bool has_room() {
  uint64_t limit[2] = {};
  return syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, nullptr, limit) == 0 && limit[0] >= kOwnDescriptors + kMostOwn;
}

}  // namespace

bool Service::supervisor_dead() {
  struct pollfd polled[2] = {{supervisor_.get(), POLLIN, 0}, {socket_.get(), 0, 0}};
  poll(polled, 2, 0);
  return (polled[0].revents & (POLLIN | POLLERR)) || (polled[1].revents & POLLHUP);
}

// Queued on the socket before we were cloned.
bool Service::read_config(Config* config) {
  OrderMessage order;
  ssize_t n = recv(socket_.get(), &order, sizeof order, MSG_DONTWAIT | MSG_TRUNC);
  if (n < 0 || !valid(order, n) || order.type != Order::Config) {
    NewsMessage refusal = news(News::Failed);
    refusal.err = EPROTO;
    refusal.stage = static_cast<int32_t>(Stage::Guardian);
    strcpy(refusal.syscall, "recv");
    send(refusal);
    return false;
  }
  *config = order.config;
  return true;
}

// Copies of the command's descriptors would keep its pipes open after its end.
void Service::drop_command_descriptors() {
  dropped_ = true;
  guard_.release_start();
  sys_close_range(0, own_from_ - 1);
  if (open("/dev/null", O_RDWR) == 0) {
    dup2(0, 1);
    dup2(0, 2);
  }
  if (chdir("/") != 0) return;
}

int Service::run(const Command& command) {
  // Config first: where strays are inherited their numbers may lie among ours, which then move out of the way.
  Config config;
  if (!read_config(&config)) return 1;
  int high_fd = -1;
  own_from_ = config.stdio_count;
  if (!config.close_strays) {
    // Without that room ours stay right behind the command's, and copies of the strays stay open.
    if (has_room()) own_from_ = kOwnDescriptors;
    high_fd = own_from_;
    socket_.reset(move_high(socket_.release(), high_fd));
    if (supervisor_.valid()) supervisor_.reset(move_high(supervisor_.release(), high_fd));
  }
  int r = guard_.prepare(true, high_fd);
  if (r < 0) {
    on_failed(make_error(-r, Stage::Guardian, "setpgid"));
    return 1;
  }
  if (supervisor_dead()) return 0;
  if (config.foreground) {
    tty_.reset(move_high(open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY), high_fd < 0 ? -1 : high_fd));
    tty_owner_ = tcgetpgrp(tty_.get());
  }
  if (config.containment != 0 && !enter_box(config, high_fd)) return 1;
  // Nothing to reset: the engine's child has, and exec kept it so.
  constexpr uint64_t kKeepAll = ~uint64_t{0};
  guard_.start(command, config, kKeepAll, tty_.get());
  while (!finished_ || (!unsent_.empty() && !alone_)) wait();
  // The end of a process takes the kernel a while, on a processor that the supervisor's thread may be waiting for.
  sched_yield();
  return 0;
}

void Service::wait() {
  enum { kSignals, kSocket, kSupervisor, kVerdict, kLeader, kWatch, kSources };
  bool writable = !unsent_.empty() && retry_deadline_ == kNever;
  struct pollfd polled[kSources] = {
      {guard_.signal_fd(), POLLIN, 0},
      {alone_ ? -1 : socket_.get(), static_cast<short>(writable ? POLLIN | POLLOUT : POLLIN), 0},
      {alone_ ? -1 : supervisor_.get(), POLLIN, 0},
      {guard_.verdict_fd(), POLLIN, 0},
      {guard_.leader_fd(), POLLIN, 0},
      {guard_.watch_fd(), guard_.watch_events(), 0},
  };
  bool drop_due = guard_.verdict_settled() && !dropped_;
  uint64_t deadline = drop_due ? 0 : guard_.deadline();
  if (retry_deadline_ < deadline) deadline = retry_deadline_;
  uint64_t now = deadline == 0 || deadline == kNever ? 0 : now_ns();
  uint64_t left = deadline > now ? deadline - now : 0;
  struct timespec timeout = {static_cast<time_t>(left / 1'000'000'000), static_cast<long>(left % 1'000'000'000)};
  int ready = ppoll(polled, kSources, deadline == kNever ? nullptr : &timeout, nullptr);
  // While there is nothing to tell; but a tree that never stops dying must not keep the command's pipes open.
  if (drop_due && (ready == 0 || ++busy_rounds_ > kMostBusyRounds)) drop_command_descriptors();
  bool ended = polled[kSupervisor].revents != 0 || (polled[kSocket].revents & POLLHUP);
  if (ended || (polled[kSocket].revents & POLLIN)) on_socket();  // first: the last order may have been a release
  if (ended) supervisor_ended();
  if ((polled[kSocket].revents & POLLOUT) || (retry_deadline_ != kNever && retry_deadline_ <= now_ns())) flush();
  if (polled[kVerdict].revents != 0) guard_.on_verdict();
  if (polled[kWatch].revents != 0) on_watch();
  if (polled[kSignals].revents != 0) on_signals();
  if (polled[kLeader].revents != 0) guard_.on_leader_dead();
  if (guard_.deadline() != kNever) guard_.on_deadline(now_ns());
}

// A stray broadcast (SIGTERM, SIGINT, SIGHUP to a whole session) is read and dropped: only the supervisor decides.
void Service::on_signals() {
  struct signalfd_siginfo info;
  bool child = false;
  while (read(guard_.signal_fd(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    child |= info.ssi_signo == SIGCHLD;
  }
  if (child) guard_.on_child();
}

void Service::on_socket() {
  for (int i = 0; i < kMostOrders; i++) {
    OrderMessage order;
    ssize_t n = recv(socket_.get(), &order, sizeof order, MSG_DONTWAIT | MSG_TRUNC);
    // The other end was closed with news unread: told once, and ahead of the orders that are still here.
    if (n < 0 && errno == ECONNRESET) continue;
    if (n <= 0) return;  // nothing, or an end of file, which is not the supervisor's death by itself
    if (valid(order, n)) on_order(order);
  }
}

void Service::on_order(const OrderMessage& order) {
  switch (order.type) {
    case Order::Begin:
      return guard_.begin(static_cast<Cause>(order.cause), order.kill != 0, order.grace_cap_ns);
    case Order::Signal:
      if (guard_.verdict_settled()) guard_.forward(order.signal);
      return;
    case Order::Release:
      if (guard_.verdict_settled()) guard_.release();
      return;
    case Order::Census: {
      Vec<ProcStat> members;
      if (guard_.verdict_settled()) guard_.tree().descendants(&members);
      if (guard_.box() != nullptr) guard_.box()->translate(&members);
      for (size_t i = 0; i < members.size(); i++) {
        NewsMessage m = news(News::Member);
        m.survivor.stat = members[i];
        send(m);
        if (i % kFlushAfter == kFlushAfter - 1) flush();
      }
      NewsMessage end = news(News::MembersEnd);
      return send(end);
    }
    case Order::Pause:
      if (guard_.box() != nullptr) on_pause(order.kill != 0);
      return;
    case Order::Config:
    case Order::Foreground:
      return;
  }
}

void Service::supervisor_ended() {
  if (alone_) return;
  alone_ = true;
  unsent_.clear();
  retry_deadline_ = kNever;
  guard_.supervisor_ended();
}

int serve(int socket, int supervisor, const Command& command) {
  // CLOEXEC: the command must not hold them.
  syscall(SYS_fcntl, socket, F_SETFD, FD_CLOEXEC);  // libc's fcntl is far larger than what is used of it
  if (supervisor >= 0) syscall(SYS_fcntl, supervisor, F_SETFD, FD_CLOEXEC);
  Service service(socket, supervisor);
  int code = service.run(command);
  _exit(code);  // nothing is left to destroy that the kernel does not
}

}  // namespace procgroup
