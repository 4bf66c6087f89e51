// What the supervisor is told, in order and without ever blocking.
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "service.h"

namespace procgroup {
namespace {

constexpr uint64_t kMemoryPause = 20'000'000;  // 20 ms: where the kernel has no memory, POLLOUT does not wait for it

}  // namespace

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
  if (sendmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) return true;  // a packet is sent whole
  // Too many descriptors of this user are under way: the news go without theirs. unix(7).
  if (errno == ETOOMANYREFS && fd >= 0) return send_now(news, -1);
  if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN) return true;  // nobody will read it
  if (errno != EAGAIN && errno != EINTR) retry_deadline_ = from_now(kMemoryPause);
  return false;
}

// Never blocks. What does not fit is kept in order; of stops only the last.
void Service::send(NewsMessage& news, int fd) {
  if (alone_) return;
  if (unsent_.empty() && send_now(news, fd)) return;
  if (news.type == News::Stopped && !unsent_.empty() && unsent_.back().type == News::Stopped) unsent_.pop();
  unsent_.push(news);
}

void Service::flush() {
  size_t sent = 0;
  retry_deadline_ = kNever;
  while (sent < unsent_.size()) {
    bool started = unsent_[sent].type == News::Started;
    if (!send_now(unsent_[sent], started ? guard_.leader().pidfd() : -1)) break;
    sent++;
  }
  unsent_.remove_front(sent);
}

void Service::on_started(const Leader& leader) {
  NewsMessage m = news(News::Started);
  m.pid = leader.pid(), m.pgid = leader.pgid(), m.sid = leader.sid();
  if (guard_.box() != nullptr) guard_.box()->on_started(&m);
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
  m.exit_kind = !status.ready;
  m.code = status.code, m.signal = status.signal, m.core_dumped = status.core_dumped, m.usage = status.usage;
  if (guard_.box() != nullptr) m.notes = guard_.box()->limits_hit();
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
  if (!report.usage.empty()) tell_usage(report);
  NewsMessage m = news(News::Gone);
  m.cause = static_cast<int32_t>(report.cause), m.empty = report.empty;
  m.evidence = static_cast<int32_t>(report.evidence);
  m.notes = report.notes, m.duration_ns = report.duration_ns;
  finished_ = true;
  send(m);
}

}  // namespace procgroup
