// What Environments ask of their groups: each call takes the lock, acts, and wakes the loop where it has to look again.
#include "engine.h"
#include "environment.h"

namespace procgroup {

bool Engine::begin(uint64_t id, Cause cause, bool kill) {
  lock();
  Group* group = supervisor_.find(id);
  if (group != nullptr) supervisor_.begin(*group, cause, kill);
  wake_for_deadline();
  unlock_and_notify();
  return group != nullptr;
}

bool Engine::signal(uint64_t id, int sig, SignalResult* out) {
  lock();
  Group* group = supervisor_.find(id);
  if (group != nullptr && group->phase != Phase::Empty) *out = supervisor_.signal(*group, sig);
  unlock();
  return group != nullptr;
}

bool Engine::ask_members(uint64_t id) {
  lock();
  Group* group = supervisor_.find(id);
  bool live = group != nullptr && group->phase != Phase::Empty;
  if (live) supervisor_.ask_members(*group);
  wake_for_deadline();
  unlock();
  return live;
}

bool Engine::release(uint64_t id) {
  lock();
  Group* group = supervisor_.find(id);
  if (group != nullptr) supervisor_.release(*group);
  unlock();
  return group != nullptr;
}

bool Engine::renew(uint64_t id, uint64_t lease_ns) {
  lock();
  Group* group = supervisor_.find(id);
  bool moved = group != nullptr && supervisor_.renew(*group, lease_ns);
  wake_for_deadline();
  unlock_and_notify();
  return moved;
}

int Engine::pause(uint64_t id, bool on) {
  lock();
  Group* group = supervisor_.find(id);
  int r = group != nullptr ? supervisor_.pause(*group, on) : -ESRCH;
  unlock();
  return r;
}

uint64_t Engine::attach(pid_t pgid, GroupOptions&& options, std::shared_ptr<const Killer> killer, uint32_t environment,
                        uint32_t ticket, GroupRef* placement, int* error) {
  lock();
  Group* group = supervisor_.attach(pgid, std::move(options), environment, error);
  uint64_t id = 0;
  if (group != nullptr) {
    group->ticket = ticket;
    id = group->id();
    if (killer) killers_.emplace_back(id, std::move(killer));
    placement->sid = group->ref.sid;
    placement->pin = group->ref.pin;
    placement->leader_exited = group->ref.leader_exited;
  }
  wake_for_deadline();
  unlock();
  return id;
}

int Engine::watch_pidfd(int fd, uint32_t environment, uint32_t ticket) {
  lock();
  uint32_t generation = ++pidfd_generation_;
  int r = reaper_.add(fd, {Supervisor::kForeign, 0, generation});
  if (r == 0) pidfd_watches_.push_back({fd, environment, ticket, generation});
  unlock();
  return r;
}

void Engine::forget_pidfd(int fd, uint32_t environment, uint32_t ticket) {
  lock();
  std::erase_if(pidfd_watches_, [&](const PidfdWatch& w) {
    if (w.environment != environment || w.ticket != ticket) return false;
    reaper_.remove(fd);
    return true;
  });
  unlock();
}

}  // namespace procgroup
