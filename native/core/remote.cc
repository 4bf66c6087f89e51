// The supervisor's side of a contained tree: the guardian is our child and runs the ladder; here its news become the
// record of a group, and orders go to it. Where it is lost, the tree is hunted by its mark.
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol.h"
#include "supervisor.h"

namespace procgroup {
namespace {

constexpr uint64_t kTracerPause = 100'000'000;  // 100 ms
constexpr uint64_t kStoodStill = 100'000'000;   // a deadline that is met later than that by us
constexpr uint32_t kTracerPatience = 5;         // looks

NewsMessage receive(int socket, int* fd, ssize_t* size) {
  NewsMessage news;
  struct iovec part = {&news, sizeof news};
  alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * 4)];
  struct msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  *fd = -1;
  *size = recvmsg(socket, &message, MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC);
  for (struct cmsghdr* h = *size >= 0 ? CMSG_FIRSTHDR(&message) : nullptr; h != nullptr; h = CMSG_NXTHDR(&message, h)) {
    if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {  // one is expected; none may leak
      int got;
      memcpy(&got, CMSG_DATA(h) + i * sizeof got, sizeof got);
      if (*fd < 0)
        *fd = got;
      else
        close(got);
    }
  }
  return news;
}

// Tells the end of file from an empty packet.
bool hung_up(int socket) {
  struct pollfd polled = {socket, 0, 0};
  return poll(&polled, 1, 0) == 1 && (polled.revents & POLLHUP);
}

}  // namespace

Group* Supervisor::adopt_tree(pid_t guardian, Fd&& pidfd, Fd&& socket, GroupOptions&& options, uint32_t owner,
                              Error* error) {
  Group* group = allocate();
  group->tree = true;
  group->starting = true;
  group->guardian = guardian;
  group->guardian_pidfd = static_cast<Fd&&>(pidfd);
  group->socket = static_cast<Fd&&>(socket);
  group->options = static_cast<GroupOptions&&>(options);
  group->owner = owner;
  group->ref.pin = Pin::Members;
  group->ref.leader_reaped = true;  // the guardian's to reap
  group->ladder.configure(group->options.ladder.data(), group->options.ladder.size(), group->options.kill_wait_ns);
  int r = 0;
  if (group->guardian_pidfd.valid()) {
    r = reaper_->add(group->guardian_pidfd.get(), {kGuardian, group->slot, group->generation});
  }
  if (r == 0) r = reaper_->add(group->socket.get(), {kSocket, group->slot, group->generation});
  if (r < 0) *error = make_error(-r, Stage::Register, "epoll_ctl");
  // The guardian keeps the timeout. One that hangs itself before the command's start (a directory of PATH on a mount
  // that does not answer) is ended from here.
  uint64_t timeout = group->options.timeout_ns;
  if (timeout != 0 && timeout < kNever / 64) timers_.arm(&group->timeout_timer, now_ns() + timeout + kOrderSlack);
  return group;
}

void Supervisor::on_socket(Group& group) {
  uint64_t id = group.id();
  if (group.awaits_room) send_owed(group);
  while (!(group.report.notes & kNoteProtocol) && !group.told_gone) {
    int fd;
    ssize_t size;
    NewsMessage news = receive(group.socket.get(), &fd, &size);
    // It was closed with orders unread: told once, and ahead of the news that are still here.
    if (size < 0 && errno == ECONNRESET) continue;
    if (size < 0 || (size == 0 && hung_up(group.socket.get()))) {
      if (size == 0) reaper_->remove(group.socket.get());  // its end: the pidfd tells the rest
      return;
    }
    Fd pidfd(fd);
    if (!valid(news, size)) {  // a guardian of another build, or a stranger
      group.report.notes |= kNoteProtocol;
      if (group.starting) group.failure = make_error(EPROTO, Stage::Guardian, "recvmsg");
      reaper_->remove(group.socket.get());
      return lose_guardian(group);
    }
    on_news(group, news, static_cast<Fd&&>(pidfd));
    if (find(id) == nullptr) return;
  }
}

void Supervisor::on_news(Group& group, const NewsMessage& news, Fd&& pidfd) {
  switch (news.type) {
    case News::Started:
      group.ref.leader = news.pid, group.ref.pgid = news.pgid, group.ref.sid = news.sid;
      if (group.pid_namespace) group.inner_leader = news.index;
      if (group.ref.sid == 0) group.ref.sid = getsid(0);
      group.ref.pidfd.reset(move_high(pidfd.release(), high_fd_));
      if ((features_ & kFeaturePidfdGroup) && group.ref.pidfd.valid() && news.pid == news.pgid) {
        group.ref.pin = Pin::PidfdGroup;
      }
      if (group.failure.failed()) return;  // given up meanwhile
      group.starting = false;
      timers_.cancel(&group.timeout_timer);
      start_lease(group);
      return listener_->on_started(group);
    case News::Failed:
      group.told_failed = true;
      group.failure = make_error(news.err, static_cast<Stage>(news.stage), "", news.index);
      group.failure.term_signal = news.term_signal;
      memcpy(group.failure_syscall, news.syscall, sizeof group.failure_syscall - 1);
      group.failure.syscall = group.failure_syscall;
      return expect_end(group);
    case News::Exited:
      group.exit.ready = true;
      group.exit.code = news.code, group.exit.signal = news.signal, group.exit.core_dumped = news.core_dumped;
      group.exit.usage = news.usage;
      group.exit_kind = news.exit_kind == 0 ? ExitStatusKind::Exact : ExitStatusKind::HeldByTracer;
      group.limits_hit = news.notes;
      group.ref.leader_exited = true;
      if (group.phase == Phase::Running) group.phase = Phase::LeaderExited;
      take_terminal_back(group);
      return listener_->on_leader_exit(group);
    case News::Stopped:
      return listener_->on_stop_state(group, news.signal);
    case News::Draining:
      group.phase = Phase::Draining;
      timers_.cancel(&group.lease_timer);
      group.teardown_start = now_ns();
      group.report.cause = static_cast<Cause>(news.cause);
      return listener_->on_draining(group);
    case News::Step: {  // among those of the privileged killer, which are ours
      Vec<StepRecord>& steps = group.report.steps;
      steps.push(news.step);
      for (size_t i = steps.size() - 1; i > 0 && steps[i - 1].at_ns > news.step.at_ns; i--) {
        steps[i] = steps[i - 1];
        steps[i - 1] = news.step;
      }
      return;
    }
    case News::Survivor:
      group.report.survivors.push(news.survivor);
      return;
    case News::Member:
      group.found.push(news.survivor.stat);
      return;
    case News::MembersEnd:
      if (group.census_out > 0) group.census_out--;
      if (group.list_due) {
        group.list_due = false;
        listener_->on_members(group);
      }
      group.found.clear();
      return;
    case News::Refused:
      if (news.pid > 0) {
        group.refused.push(news.pid);
      } else if (!group.refused.empty()) {
        call_killer(group, news.signal, group.refused);
        group.refused.clear();
      }
      return;
    case News::Usage:
      group.report.usage.clear();
      for (int64_t number : news.numbers) group.report.usage.push(number);
      return;
    case News::Paused:
      return listener_->on_paused(group, news.code != 0, news.err);
    case News::Gone:
      group.told_gone = true;  // its last word
      timers_.cancel(&group.lease_timer);
      reaper_->remove(group.socket.get());
      group.report.cause = static_cast<Cause>(news.cause);
      group.report.empty = news.empty != 0;
      group.report.evidence = static_cast<Evidence>(news.evidence);
      group.report.notes |= news.notes;
      group.report.duration_ns = news.duration_ns;
      if (group.pid_namespace && !group.report.empty) return namespace_survivors(group);
      return expect_end(group);
  }
}

// The guardian has ended: what it said last is read first, then its own zombie is taken.
void Supervisor::on_guardian_exit(Group& group) {
  uint64_t id = group.id();
  on_socket(group);
  if (find(id) == nullptr || !group.tree) return;
  WaitStatus status;
  int r = sys_waitid_exit(wait_fd(group.guardian_pidfd), group.guardian, 0, &status);
  if (r == 0 && !status.ready) {
    // Its tracer does not let go of the dead, or nothing can end it: asked for by timer, and at last given up for lost.
    bool dead = guardian_dead(group);
    if (dead && group.guardian_pidfd.valid()) reaper_->remove(group.guardian_pidfd.get());  // readable for ever
    if (++group.retries <= kTracerPatience) return timers_.arm(&group.tracer_timer, now_ns() + kTracerPause);
    if (!dead && group.pid_namespace && !group.starting && !group.told_gone) return namespace_stuck(group);
    reap_without_group(group.guardian);
  }
  group.retries = 0;
  forget_guardian(group);
  timers_.cancel(&group.ladder_timer);
  timers_.cancel(&group.tracer_timer);
  if (group.starting) {
    if (!group.failure.failed()) {
      bool late = group.report.cause == Cause::Timeout;
      group.failure = make_error(late ? ETIMEDOUT : 0, Stage::Guardian, "execve");
      if (!late) group.failure.term_signal = status.signal != 0 ? status.signal : SIGKILL;
    }
    // Where it could not say that the command failed, that may run already, and have started others.
    if ((!group.told_failed || (group.report.notes & kNoteProtocol)) && !group.pid_namespace) return hunt(group);
    listener_->on_failed(group, group.failure);
    return free_group(&group);
  }
  if (group.pid_namespace && group.phase == Phase::Survivors) return namespace_ended(group);
  if (!group.told_gone && !group.pid_namespace) return hunt(group);
  if (!group.told_gone) namespace_lost(group);
  group.phase = group.report.empty ? Phase::Empty : Phase::Survivors;
  if (group.list_due) listener_->on_members(group);
  group.list_due = false;
  if (group.report.empty) leader_lost(group);  // where its end was not told
  listener_->on_gone(group);
  if (group.report.empty || group.ref.leader_exited) return free_group(&group);
  // The leader is among the survivors. It is init's now: its pidfd still tells its end.
  group.tree = false;
  group.attached = true;
  group.ref.pin = Pin::Leader;
  group.exit_kind = ExitStatusKind::Unknown;
  if (group.ref.pidfd.valid() && reaper_->add(group.ref.pidfd.get(), {kLeader, group.slot, group.generation}) == 0) {
    group.leader_watched = true;
    return watch_survivors(group);
  }
  group.ref.leader_exited = true;
  listener_->on_leader_exit(group);
  free_group(&group);
}

void Supervisor::forget_guardian(Group& group) {
  if (group.guardian_pidfd.valid()) reaper_->remove(group.guardian_pidfd.get());
  if (group.socket.valid()) reaper_->remove(group.socket.get());
  group.guardian_pidfd.reset();
  group.socket.reset();
}

// It does not answer, or speaks another language: it is ended, and its end is handled as any other. SIGKILL does not
// end who is in uninterruptible sleep, in a frozen cgroup of v1, or held by a tracer: that too has an end.
void Supervisor::lose_guardian(Group& group) {
  signal_process(group.guardian_pidfd.get(), group.guardian, SIGKILL);
  bool nothing_to_say = group.told_gone || group.told_failed;
  uint64_t wait = nothing_to_say ? kTracerPause : group.options.kill_wait_ns;
  if (!group.tracer_timer.armed()) timers_.arm(&group.tracer_timer, now_ns() + wait);
}

// Its time is over by our clock. It may have stood still with us, as all of a paused container does: its own deadlines
// are as late as ours then, and the last of them it has to come to first.
void Supervisor::guardian_overdue(Group& group, uint64_t now) {
  bool late = now - group.ladder_timer.deadline > kStoodStill;
  bool again = group.overdue || group.told_gone || group.told_failed;
  group.overdue = true;
  if (again) return lose_guardian(group);
  timers_.arm(&group.ladder_timer, now + (late ? kOrderSlack : kOrderSlack / 4));
}

// It has said its last word. What it said is told when it has ended, or when that takes too long.
void Supervisor::expect_end(Group& group) {
  uint64_t end = now_ns() + kOrderSlack;
  if (!group.ladder_timer.armed() || end < group.ladder_timer.deadline) timers_.arm(&group.ladder_timer, end);
}

}  // namespace procgroup
