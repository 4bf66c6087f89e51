// Records of groups: made, found, freed.
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "supervisor.h"

namespace procgroup {
namespace {

constexpr uint64_t kFirstLook = 1'000'000;       // 1 ms
constexpr uint32_t kGenerationMask = 0xfffffff;  // an id stays below 2^53: it travels as a double

// As /proc counts start times: clock ticks after boot. proc(5), /proc/PID/stat.
uint64_t boot_ticks() {
  struct timespec now;
  clock_gettime(CLOCK_BOOTTIME, &now);
  uint64_t hertz = static_cast<uint64_t>(sysconf(_SC_CLK_TCK));
  return static_cast<uint64_t>(now.tv_sec) * hertz + static_cast<uint64_t>(now.tv_nsec) * hertz / 1'000'000'000;
}

}  // namespace

Group* Supervisor::allocate() {
  uint32_t slot;
  if (!free_slots_.empty()) {
    slot = free_slots_.back();
    free_slots_.pop();
  } else {
    slot = static_cast<uint32_t>(slots_.size());
    slots_.push(nullptr);
    generations_.push(0);
  }
  void* memory = malloc(sizeof(Group));
  if (memory == nullptr) abort();
  Group* group = new (Place{memory}) Group;
  group->slot = slot;
  group->generation = generations_[slot] = (generations_[slot] + 1) & kGenerationMask;
  Timer* timers[] = {&group->timeout_timer, &group->ladder_timer, &group->retry_timer, &group->tracer_timer,
                     &group->lease_timer};
  for (int kind = kTimeout; kind <= kLease; kind++) {
    timers[kind]->kind = kind;
    timers[kind]->owner = group;
  }
  slots_[slot] = group;
  live_++;
  return group;
}

void Supervisor::free_group(Group* group) {
  while (!group->members.empty()) unwatch(*group, group->members.size() - 1);
  unwatch_leader(*group);
  if (group->tree) forget_guardian(*group);
  timers_.cancel(&group->timeout_timer);
  timers_.cancel(&group->ladder_timer);
  timers_.cancel(&group->retry_timer);
  timers_.cancel(&group->tracer_timer);
  timers_.cancel(&group->lease_timer);
  slots_[group->slot] = nullptr;
  free_slots_.push(group->slot);
  live_--;
  group->dead = true;
  // A scan that runs without the lock may be looking at it: it is buried when that has ended.
  if (scanning_)
    graves_.push(group);
  else
    bury(group);
}

void Supervisor::bury(Group* group) {
  group->~Group();
  free(group);
}

Group* Supervisor::find(uint64_t id) {
  uint32_t slot = static_cast<uint32_t>(id & 0xffffff);
  if (slot >= slots_.size() || slots_[slot] == nullptr) return nullptr;
  return slots_[slot]->generation == static_cast<uint32_t>(id >> 24) ? slots_[slot] : nullptr;
}

size_t Supervisor::undecided() const {
  size_t n = 0;
  for (Group* group : slots_) {
    n += group != nullptr && group->phase != Phase::Empty && group->phase != Phase::Survivors && group->held;
  }
  return n;
}

// How long the teardown of all that is held can take from now, once its graces are capped.
uint64_t Supervisor::longest_end() const {
  uint64_t longest = 0;
  for (Group* group : slots_) {
    if (group == nullptr || !group->held) continue;
    uint64_t end = group->options.exit_grace_ns + group->options.kill_wait_ns;
    if (end > longest) longest = end;
  }
  return longest;
}

Group* Supervisor::adopt(GroupRef&& ref, GroupOptions&& options, uint32_t owner, Error* error) {
  Group* group = allocate();
  group->ref.leader = ref.leader;
  group->ref.pgid = ref.pgid;
  group->ref.sid = ref.sid;
  group->ref.pin = ref.pin;
  group->ref.session = ref.session;
  group->ref.pidfd = static_cast<Fd&&>(ref.pidfd);
  group->options = static_cast<GroupOptions&&>(options);
  group->owner = owner;
  group->ladder.configure(group->options.ladder.data(), group->options.ladder.size(), group->options.kill_wait_ns);
  if (group->ref.pidfd.valid()) {
    int r = reaper_->add(group->ref.pidfd.get(), {kLeader, group->slot, group->generation});
    if (r < 0) *error = make_error(-r, Stage::Register, "epoll_ctl");
    group->leader_watched = r == 0;
  }
  if (group->options.timeout_ns != 0) timers_.arm(&group->timeout_timer, now_ns() + group->options.timeout_ns);
  start_lease(*group);
  return group;
}

void Supervisor::discard(Group& group, const Error& error) {
  group.starting = true;  // what becomes of it is told as the failure of a spawn
  group.failure = error;
  group.held = true;
  if (group.tree)
    lose_guardian(group);
  else
    begin(group, Cause::Abort, true);
  // No event tells its end: it is asked for by timer.
  timers_.arm(&group.tracer_timer, now_ns() + kFirstLook);
}

Group* Supervisor::attach(pid_t pgid, GroupOptions&& options, uint32_t owner, int* err) {
  int r = killpg_guarded(pgid, 0);
  if (r == -ESRCH) {
    *err = ESRCH;
    return nullptr;
  }
  // The leader's own pidfd pins the group, if the process of that number still leads it.
  Fd pidfd(features_ & kFeaturePidfd ? sys_pidfd_open(pgid) : -1);
  if (table_full(pidfd.get())) {
    *err = -pidfd.release();
    return nullptr;
  }
  Group* group = allocate();
  group->attached = true;
  group->attached_at = boot_ticks();
  group->held = false;
  group->owner = owner;
  group->options = static_cast<GroupOptions&&>(options);
  group->ladder.configure(group->options.ladder.data(), group->options.ladder.size(), group->options.kill_wait_ns);
  group->ref.leader = pgid;
  group->ref.pgid = pgid;
  group->ref.pin = Pin::Members;
  group->ref.leader_reaped = true;  // never ours to reap
  group->ref.numeric_members = !(features_ & kFeaturePidfd);
  group->exit_kind = ExitStatusKind::Unknown;
  ProcStat leader;
  group->ref.pidfd.reset(move_high(pidfd.release(), high_fd_));
  if (group->ref.pidfd.valid() && caller_proc_.stat(pgid, &leader) && leader.pgid == pgid && leader.alive()) {
    group->ref.sid = leader.sid;
    if (features_ & kFeaturePidfdGroup) group->ref.pin = Pin::PidfdGroup;
    group->leader_watched = reaper_->add(group->ref.pidfd.get(), {kLeader, group->slot, group->generation}) == 0;
  }
  int full = group->ref.pin == Pin::Members ? adopt_members(*group) : 0;
  if (full != 0 && group->members.empty() && !group->leader_watched) {  // nothing pins it
    free_group(group);
    *err = full;
    return nullptr;
  }
  if (!group->leader_watched) {
    group->ref.leader_exited = true;
    group->phase = Phase::LeaderExited;
    request_census(*group);
  }
  return group;
}

}  // namespace procgroup
