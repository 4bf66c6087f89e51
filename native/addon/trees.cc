// Containment `tree`: starting a guardian, and what its news mean to an Environment.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "engine.h"
#include "environment.h"
#include "waiters.h"

namespace procgroup {

// On a spawner thread, before the clone: the orders wait on the socket before the guardian is born.
Error Engine::prepare_tree(Job* job) {
  lock();
  if (!self_pidfd_.valid() && (features_ & kFeaturePidfd)) self_pidfd_.reset(sys_pidfd_open(getpid()));
  int self = self_pidfd_.get();
  unlock();
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return make_error(errno, Stage::Guardian, "socketpair");
  }
  if (job->tree->foreground) {  // kept for the end of a guardian that could not give the terminal back itself
    job->tty.reset(move_high(open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY), high_fd_));
    if (!job->tty.valid()) {
      close(ends[0]), close(ends[1]);
      return make_error(errno, Stage::Foreground, "open");
    }
    job->tty_owner = tcgetpgrp(job->tty.get());
  }
  job->socket.reset(move_high(ends[0], high_fd_));
  job->owned_fds.push_back(ends[1]);
  OrderMessage order = {};
  order.magic = kMagic, order.build = kBuild, order.type = Order::Config;
  order.config = *job->tree;
  if (send(job->socket.get(), &order, sizeof order, MSG_DONTWAIT | MSG_NOSIGNAL) !=
      static_cast<ssize_t>(sizeof order)) {
    return make_error(errno, Stage::Guardian, "send");
  }
  job->request.stdio.push({StdioKind::Descriptor, ends[1], nullptr, 0, 0});
  if (self >= 0) {
    job->request.stdio.push({StdioKind::Descriptor, self, nullptr, 0, 0});
  } else {  // without pidfds the socket's hang-up alone tells of our end; in place, since argv points into the word
    size_t at = job->guard_word.find(',') + 1;
    job->guard_word[at] = '-', job->guard_word[at + 1] = 0;
  }
  return job->tree->containment != 0 ? prepare_box(job) : Error{};
}

// Under the lock. The guardian lives; Started or Failed settles the spawn.
void Engine::tree_spawned(Job* job, SpawnResult* result) {
  Error error;
  Group* group = supervisor_.adopt_tree(result->pid, std::move(result->pidfd), std::move(job->socket),
                                        std::move(job->options), job->environment, &error);
  if (!group->guardian_pidfd.valid()) {
    int r = start_waiter(exit_waiter_main, new Waiter{this, group->id(), 0, 0, group->guardian, -1});
    if (r < 0) error = make_error(-r, Stage::Register, "pthread_create");
  }
  group->ticket = job->ticket;
  group->held = job->held;
  snprintf(group->mark, sizeof group->mark, "%s", job->mark.c_str());
  group->pid_namespace = job->request.namespaces;
  group->user_namespace = result->user_namespace;
  if (!job->leaf.empty()) {
    for (char c : job->leaf) group->leaf.push(c);
    group->leaf.push(0);
  }
  group->tty = std::move(job->tty);
  group->tty_owner = job->tty_owner;
  if (job->killer) killers_.emplace_back(group->id(), job->killer);
  std::vector<int> ends(result->parent_ends.begin(), result->parent_ends.end());
  starting_.emplace_back(group->id(), std::move(ends));
  if (error.failed()) return supervisor_.discard(*group, error);
  if (job->cancelled || shutting_down_) {
    group->cancelled_owner = job->environment;
    group->owner = 0;
    group->held = true;
    supervisor_.begin(*group, Cause::Abort, true);
  }
}

void Engine::on_started(Group& group) {
  Event event;
  double row[] = {static_cast<double>(EventType::Spawned),
                  static_cast<double>(group.ticket),
                  static_cast<double>(group.id()),
                  static_cast<double>(group.ref.leader),
                  static_cast<double>(group.ref.pgid),
                  static_cast<double>(group.ref.sid),
                  static_cast<double>(group.ref.pin),
                  features_ & kFeatureClone3 ? 1.0 : 0.0,
                  1.0,
                  static_cast<double>(group.guardian),
                  static_cast<double>(group.inner_leader),
                  group.user_namespace ? 1.0 : 0.0};
  memcpy(event.row, row, sizeof row);
  settle_tree(group, &event);
  post(group.owner, std::move(event));
}

void Engine::on_failed(Group& group, const Error& error) {
  settle_tree(group, nullptr);
  uint64_t id = group.id();
  std::erase_if(killers_, [&](auto& entry) { return entry.first == id; });
  bool cancelled = group.cancelled_owner != 0;
  post_failed(cancelled ? group.cancelled_owner : group.owner, group.ticket,
              cancelled ? make_error(ECANCELED, Stage::Clone, "clone") : error,
              group.leaf.empty() ? "" : group.leaf.begin());
}

// The command's pipes go to the Environment with its start, or are closed.
void Engine::settle_tree(Group& group, Event* event) {
  uint64_t id = group.id();
  auto found = std::find_if(starting_.begin(), starting_.end(), [&](auto& entry) { return entry.first == id; });
  if (found == starting_.end()) return;
  bool piped = std::any_of(found->second.begin(), found->second.end(), [](int fd) { return fd >= 0; });
  if (event != nullptr && group.owner != 0 && piped) {
    event->payload = std::make_unique<Payload>();
    event->payload->fds = found->second;
  } else {
    for (int fd : found->second) {
      if (fd >= 0) close(fd);
    }
  }
  starting_.erase(found);
  if (event == nullptr || group.leaf.empty()) return;
  if (event->payload == nullptr) event->payload = std::make_unique<Payload>();
  event->payload->leaf = group.leaf.begin();
}

void Engine::on_paused(Group& group, bool paused, int err) {
  Event event;
  event.row[0] = static_cast<double>(EventType::Paused);
  event.row[1] = group.ticket;
  event.row[2] = paused;
  event.row[3] = err;
  post(group.owner, std::move(event));
}

void Engine::on_stop_state(Group& group, int signal) {
  Event event;
  event.row[0] = static_cast<double>(EventType::StopState);
  event.row[1] = group.ticket;
  event.row[2] = signal;
  post(group.owner, std::move(event));
}

}  // namespace procgroup
