// What becomes of a spawn that came back: a group of the engine's, or a failure that is told.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>

#include "engine.h"
#include "environment.h"
#include "waiters.h"

namespace procgroup {

void Engine::post_failed(uint32_t environment, uint32_t ticket, const Error& error, const char* leaf) {
  Event event;
  double row[] = {static_cast<double>(EventType::Failed), static_cast<double>(ticket),
                  static_cast<double>(error.err),         static_cast<double>(error.stage),
                  static_cast<double>(error.index),       static_cast<double>(error.term_signal)};
  memcpy(event.row, row, sizeof row);
  event.payload = std::make_unique<Payload>();
  snprintf(event.payload->syscall, sizeof event.payload->syscall, "%s", error.syscall);
  event.payload->leaf = leaf;
  post(environment, std::move(event));
}

// From here the group is the engine's: registered before anybody hears of it, so that no exit can be missed.
void Engine::spawned(std::unique_ptr<Job> job, SpawnResult* result, SpawnContext* context) {
  lock();
  std::erase(running_, job.get());
  features_ &= context->features | ~(kFeatureClone3 | kFeatureClonePidfd | kFeatureCloseRange);
  Group* group = nullptr;
  Error error = result->error;
  if (error.failed() && job->cancelled) error = make_error(ECANCELED, Stage::Clone, "clone");
  if (!error.failed() && job->tree) {
    tree_spawned(job.get(), result);
    wake_for_deadline();
    unlock();
    return;
  } else if (!error.failed()) {
    GroupRef ref;
    ref.leader = result->pid;
    ref.pgid = result->pgid;
    ref.sid = result->sid;
    ref.session = job->contain_group && job->request.isolation == Isolation::Session;
    bool by_pidfd = (features_ & kFeaturePidfdGroup) && result->pidfd.valid();
    ref.pin = !job->contain_group ? Pin::Leader : by_pidfd ? Pin::PidfdGroup : Pin::Zombie;
    ref.pidfd = std::move(result->pidfd);
    group = supervisor_.adopt(std::move(ref), std::move(job->options), job->environment, &error);
  }
  if (group != nullptr && !group->ref.pidfd.valid()) {
    int r = start_waiter(exit_waiter_main, new Waiter{this, group->id(), 0, 0, group->ref.leader, -1});
    if (r < 0) error = make_error(-r, Stage::Register, "pthread_create");
  }
  if (group == nullptr) {
    for (int fd : result->parent_ends) {
      if (fd >= 0) close(fd);
    }
    job->close_descriptors();  // before anybody hears of it: nothing is left of a spawn that failed
    post_failed(job->environment, job->ticket, error, job->leaf.c_str());
    if (job->killer_for != 0) supervisor_.killer_failed(job->killer_for, error.err);
    if (shutting_down_) reaper_.wake();
    unlock_and_notify();
    return;
  }
  group->ticket = job->ticket;
  group->held = job->held;
  group->tty = std::move(result->tty);
  group->tty_owner = result->tty_owner;
  group->killer_for = job->killer_for;
  group->killer_signal = job->killer_signal;
  if (job->killer) killers_.emplace_back(group->id(), job->killer);
  if (error.failed()) {  // it lives, but cannot be watched
    for (int fd : result->parent_ends) {
      if (fd >= 0) close(fd);
    }
    if (job->killer_for != 0) supervisor_.killer_failed(job->killer_for, error.err);
    group->killer_for = 0;
    supervisor_.discard(*group, error);
    wake_for_deadline();
    unlock();
    return;
  }
  // The privileged killer of a teardown at exit is not part of what is torn down: its own timeout bounds it.
  bool ending = shutting_down_ && job->killer_for == 0;
  if (job->cancelled || ending) {
    for (int fd : result->parent_ends) {
      if (fd >= 0) close(fd);
    }
    group->cancelled_owner = job->environment;
    group->owner = 0;
    group->held = true;
    supervisor_.begin(*group, Cause::Abort, true);
  } else if (job->environment != 0) {
    Event event;
    double row[] = {static_cast<double>(EventType::Spawned), static_cast<double>(job->ticket),
                    static_cast<double>(group->id()),        static_cast<double>(result->pid),
                    static_cast<double>(result->pgid),       static_cast<double>(result->sid),
                    static_cast<double>(group->ref.pin),     result->used_clone3 ? 1.0 : 0.0,
                    group->ref.pidfd.valid() ? 1.0 : 0.0};
    memcpy(event.row, row, sizeof row);
    bool piped = std::any_of(result->parent_ends.begin(), result->parent_ends.end(), [](int fd) { return fd >= 0; });
    if (piped) {
      event.payload = std::make_unique<Payload>();
      event.payload->fds.assign(result->parent_ends.begin(), result->parent_ends.end());
    }
    post(job->environment, std::move(event));
  }
  wake_for_deadline();
  unlock_and_notify();
}

}  // namespace procgroup
