// The guardian in the service of an engine: orders and news over a socket, and the supervisor's end by its pidfd.
#include "serve.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/kernel.h"
#include "core/spawn.h"
#include "guard.h"

namespace procgroup {
namespace {

constexpr int kOwnDescriptors = 512;  // ours live from here where strays are inherited
constexpr size_t kMostNews = 4096;    // kept while a stopped supervisor does not read

enum Source : uint8_t { kSignals = 1, kSocket, kSupervisor, kVerdict };

class Service : public GuardListener {
 public:
  Service(int socket, int supervisor) : socket_(socket), supervisor_(supervisor), guard_(this) {}
  int run(const Command& command);

 private:
  bool read_config(Config* config);
  bool supervisor_dead();
  void drop_command_descriptors(const Config& config);
  void on_signals();
  void on_socket();
  void on_order(const OrderMessage& order);
  void supervisor_ended();
  void send(NewsMessage& news, int fd = -1);
  bool send_now(const NewsMessage& news, int fd);
  void flush();
  void take_terminal_back();
  NewsMessage news(News type) {
    NewsMessage m = {};
    m.magic = kMagic, m.build = kBuild, m.type = type;
    return m;
  }

  void on_started(const Leader& leader) override;
  void on_failed(const Error& error) override;
  void on_exited(const WaitStatus& status) override;
  void on_stopped(int signal) override;
  void on_draining(Cause cause) override;
  void on_refused(int pid, int signal) override;
  void on_gone(const Report& report) override;

  Fd socket_;
  Fd supervisor_;
  Guard guard_;
  Reaper loop_;
  Vec<NewsMessage> unsent_;
  Fd tty_;
  pid_t tty_owner_ = 0;
  bool finished_ = false;
  bool alone_ = false;  // the supervisor is dead
};

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
void Service::drop_command_descriptors(const Config& config) {
  sys_close_range(0, (config.close_strays ? config.stdio_count : kOwnDescriptors) - 1);
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
  if (!config.close_strays) {
    high_fd = kOwnDescriptors;
    socket_.reset(move_high(socket_.release(), high_fd));
    if (supervisor_.valid()) supervisor_.reset(move_high(supervisor_.release(), high_fd));
  }
  int r = guard_.prepare(true, high_fd);
  if (r < 0) {
    on_failed(make_error(-r, Stage::Guardian, "setpgid"));
    return 1;
  }
  if (supervisor_dead()) return 0;
  r = loop_.open(high_fd, false);
  if (r == 0) r = loop_.add(guard_.signal_fd(), {kSignals, 0, 0});
  if (r == 0) r = loop_.add(socket_.get(), {kSocket, 0, 0});
  if (r == 0 && supervisor_.valid()) r = loop_.add(supervisor_.get(), {kSupervisor, 0, 0});
  if (r < 0) {
    on_failed(make_error(-r, Stage::Guardian, "epoll_ctl"));
    return 1;
  }
  if (config.foreground) {
    tty_.reset(move_high(open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY), high_fd < 0 ? -1 : high_fd));
    tty_owner_ = tcgetpgrp(tty_.get());
  }
  guard_.start(command, config, 0, tty_.get());
  int awaited = finished_ ? -1 : guard_.verdict_fd();
  if (awaited >= 0) loop_.add(awaited, {kVerdict, 0, 0});
  if (supervisor_dead()) supervisor_ended();

  struct epoll_event events[Reaper::kBatch];
  while (!finished_ || (!unsent_.empty() && !alone_)) {
    int n = loop_.wait(events, guard_.deadline());
    for (int i = 0; i < n; i++) {
      switch (Token::unpack(events[i].data.u64).kind) {
        case kSignals:
          on_signals();
          break;
        case kSocket:
          if (events[i].events & EPOLLIN) on_socket();
          if (events[i].events & EPOLLOUT) flush();
          if (events[i].events & EPOLLHUP) supervisor_ended();
          break;
        case kSupervisor:
          supervisor_ended();
          break;
        case kVerdict:
          loop_.remove(guard_.verdict_fd());
          guard_.on_verdict();
          if (guard_.verdict_settled())
            drop_command_descriptors(config);
          else if (!guard_.starting_again())
            loop_.add(guard_.verdict_fd(), {kVerdict, 0, 0});
          break;
      }
    }
    bool again = guard_.starting_again();
    guard_.on_deadline(now_ns());
    if (again && !guard_.starting_again() && !finished_) loop_.add(guard_.verdict_fd(), {kVerdict, 0, 0});
  }
  return 0;
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
  for (int i = 0; i < 64; i++) {
    OrderMessage order;
    ssize_t n = recv(socket_.get(), &order, sizeof order, MSG_DONTWAIT | MSG_TRUNC);
    if (n <= 0) return;  // nothing, or an end of file, which is not the supervisor's death by itself
    if (valid(order, n)) on_order(order);
  }
}

void Service::on_order(const OrderMessage& order) {
  switch (order.type) {
    case Order::Begin:
      return guard_.begin(static_cast<Cause>(order.cause), order.kill != 0, order.grace_cap_ns);
    case Order::Signal:
      guard_.forward(order.signal);
      return;
    case Order::Release:
      return guard_.release();
    case Order::Census: {
      Vec<ProcStat> members;
      guard_.tree().descendants(&members);
      for (const ProcStat& member : members) {
        NewsMessage m = news(News::Member);
        m.survivor.stat = member;
        send(m);
      }
      NewsMessage end = news(News::MembersEnd);
      return send(end);
    }
    case Order::Config:
    case Order::Foreground:
      return;
  }
}

void Service::supervisor_ended() {
  if (alone_) return;
  alone_ = true;
  if (supervisor_.valid()) loop_.remove(supervisor_.get());
  loop_.remove(socket_.get());
  unsent_.clear();
  if (!guard_.released()) guard_.begin(Cause::Exit, false, 0);
}

bool Service::send_now(const NewsMessage& news, int fd) {
  struct iovec part = {const_cast<NewsMessage*>(&news), sizeof news};
  struct msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  if (fd >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    struct cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
  }
  return sendmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL) == static_cast<ssize_t>(sizeof news) ||
         (errno != EAGAIN && errno != EINTR);
}

// Never blocks. What does not fit is kept in order; of stops only the last.
void Service::send(NewsMessage& news, int fd) {
  if (alone_) return;
  if (unsent_.empty() && send_now(news, fd)) return;
  if (news.type == News::Stopped && !unsent_.empty() && unsent_.back().type == News::Stopped) unsent_.pop();
  if (unsent_.size() >= kMostNews && news.type == News::Member) return;
  if (unsent_.empty()) loop_.modify(socket_.get(), {kSocket, 0, 0}, EPOLLIN | EPOLLOUT);
  unsent_.push(news);
}

void Service::flush() {
  size_t sent = 0;
  while (sent < unsent_.size()) {
    bool started = unsent_[sent].type == News::Started;
    if (!send_now(unsent_[sent], started ? guard_.leader().pidfd() : -1)) break;
    sent++;
  }
  unsent_.remove_front(sent);
  if (unsent_.empty()) loop_.modify(socket_.get(), {kSocket, 0, 0}, EPOLLIN);
}

void Service::on_started(const Leader& leader) {
  NewsMessage m = news(News::Started);
  m.pid = leader.pid(), m.pgid = leader.pgid(), m.sid = leader.sid();
  send(m, leader.pidfd());
}

void Service::on_failed(const Error& error) {
  take_terminal_back();
  NewsMessage m = news(News::Failed);
  m.err = error.err, m.stage = static_cast<int32_t>(error.stage), m.index = error.index;
  m.term_signal = error.term_signal;
  strncpy(m.syscall, error.syscall, sizeof m.syscall - 1);
  finished_ = true;
  send(m);
}

// Only from the command's group: it may have handed the terminal on, or the shell may have taken it.
void Service::take_terminal_back() {
  if (!tty_.valid() || tty_owner_ <= 0) return;
  if (tcgetpgrp(tty_.get()) == guard_.leader().pid()) tcsetpgrp(tty_.get(), tty_owner_);
  tty_.reset();
}

void Service::on_exited(const WaitStatus& status) {
  take_terminal_back();
  NewsMessage m = news(News::Exited);
  m.code = status.code, m.signal = status.signal, m.core_dumped = status.core_dumped, m.usage = status.usage;
  send(m);
}

void Service::on_stopped(int signal) {
  NewsMessage m = news(News::Stopped);
  m.signal = signal;
  send(m);
}

void Service::on_draining(Cause cause) {
  NewsMessage m = news(News::Draining);
  m.cause = static_cast<int32_t>(cause);
  send(m);
}

void Service::on_refused(int pid, int signal) {
  NewsMessage m = news(News::Refused);
  m.pid = pid, m.signal = signal;
  send(m);
}

void Service::on_gone(const Report& report) {
  for (const StepRecord& step : report.steps) {
    NewsMessage m = news(News::Step);
    m.step = step;
    send(m);
  }
  for (const SurvivorRecord& survivor : report.survivors) {
    NewsMessage m = news(News::Survivor);
    m.survivor = survivor;
    send(m);
  }
  NewsMessage m = news(News::Gone);
  m.cause = static_cast<int32_t>(report.cause), m.empty = report.empty;
  m.evidence = static_cast<int32_t>(report.evidence);
  m.notes = report.notes, m.duration_ns = report.duration_ns;
  finished_ = true;
  send(m);
}

}  // namespace

int serve(int socket, int supervisor, const Command& command) {
  // CLOEXEC: the command must not hold them.
  fcntl(socket, F_SETFD, FD_CLOEXEC);
  fcntl(supervisor, F_SETFD, FD_CLOEXEC);
  // Without pidfds a plain descriptor stands there, which would read as a supervisor that is dead.
  int probe = sys_pidfd_send_signal(supervisor, 0, 0);
  if (probe == -EBADF || probe == -ENOSYS) {
    close(supervisor);
    supervisor = -1;
  }
  Service service(socket, supervisor);
  int code = service.run(command);
  _exit(code);  // nothing is left to destroy that the kernel does not
}

}  // namespace procgroup
