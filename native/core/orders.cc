// Orders to a guardian. Its socket holds about a hundred: those that may not be lost wait for room in the record.
#include <errno.h>
#include <sys/socket.h>

#include "protocol.h"
#include "supervisor.h"

namespace procgroup {
namespace {

constexpr uint32_t kMostCensuses = 8;

bool no_room(int sent) { return sent == -EAGAIN || sent == -ENOBUFS || sent == -ENOMEM; }

}  // namespace

int Supervisor::send_order(Group& group, Order type, int signal, Cause cause, bool kill, uint64_t cap) {
  OrderMessage order = {};
  order.magic = kMagic, order.build = kBuild, order.type = type;
  order.signal = signal, order.cause = static_cast<int32_t>(cause), order.kill = kill, order.grace_cap_ns = cap;
  return send(group.socket.get(), &order, sizeof order, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

// What is owed is sent now, or as soon as the socket has room. 0, or the errno that says that it never will be.
int Supervisor::send_owed(Group& group) {
  int r = 0;
  if (group.release_owed) {
    r = send_order(group, Order::Release, 0, Cause::None, false, 0);
    group.release_owed = no_room(r);
  }
  if (r == 0 && group.begin_owed) {
    uint64_t now = now_ns();
    uint64_t cap = group.grace_cap > now ? group.grace_cap - now : group.grace_cap != 0 ? 1 : 0;
    r = send_order(group, Order::Begin, 0, group.report.cause, group.kill_owed, cap);
    if (r == 0) {
      group.begin_sent = true;
      group.kill_sent |= group.kill_owed;
    }
    group.begin_owed = no_room(r);
    group.kill_owed &= group.begin_owed;
  }
  if (r == 0 && group.census_owed) {
    r = send_order(group, Order::Census, 0, Cause::None, false, 0);
    group.census_out += r == 0;
    group.census_owed = no_room(r);
  }
  bool wait = no_room(r);
  if (wait != group.awaits_room) {
    group.awaits_room = wait;
    uint32_t events = wait ? EPOLLIN | EPOLLOUT : EPOLLIN;
    reaper_->modify(group.socket.get(), {kSocket, group.slot, group.generation}, events);
  }
  return wait ? 0 : r;
}

void Supervisor::begin_tree(Group& group, Cause cause, bool kill) {
  uint64_t now = now_ns();
  if (group.report.cause == Cause::None && !group.told_gone) group.report.cause = cause;
  // Only what is new (a kill, a cap on the graces), since a burst must not fill the socket; and nothing after the end.
  bool news = !group.begin_sent || (kill && !group.kill_sent) || group.grace_cap != 0;
  if (news && !group.told_gone) {
    group.begin_owed = true;
    group.kill_owed |= kill;
    if (send_owed(group) < 0) return lose_guardian(group);
  }
  // The guardian keeps the deadlines; one that does not answer (stopped, starved) must not make this a hang.
  uint64_t most = group.options.kill_wait_ns + kOrderSlack;
  for (const LadderStep& step : group.options.ladder) most += step.grace_ns < kNever / 64 ? step.grace_ns : kNever / 64;
  if (!group.ladder_timer.armed() || now + most < group.ladder_timer.deadline) {
    timers_.arm(&group.ladder_timer, now + most);
  }
}

// A few may be under way at a time: each answer serves everybody who has asked, and a burst of callers must not fill
// the socket.
void Supervisor::ask_guardian(Group& group) {
  if (group.census_out >= kMostCensuses) return;
  if (group.census_out == 0) group.found.clear();
  group.census_owed = true;
  if (send_owed(group) == 0 || group.census_out > 0) return;
  group.list_due = false;  // the guardian does not listen: nobody can be named
  listener_->on_members(group);
}

}  // namespace procgroup
