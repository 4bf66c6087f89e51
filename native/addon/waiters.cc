// Two things a pidfd does not tell: the end of a child on a kernel without pidfds, and stops. For each a thread waits
// for one known pid. Against libuv's SIGCHLD watcher this costs a thread, but it tells while JavaScript is busy, in
// every worker, and when the Environment that asked has ended.
#include "waiters.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "environment.h"

namespace procgroup {
namespace {

constexpr size_t kWaiterStack = 64 * 1024;

}  // namespace

int Engine::start_waiter(void* (*main)(void*), Waiter* waiter) {
  int r = start_detached(main, waiter, kWaiterStack);
  if (r < 0) {
    if (waiter->pidfd >= 0) close(waiter->pidfd);
    delete waiter;
  }
  return r;
}

void* Engine::exit_waiter_main(void* data) {
  pthread_setname_np(pthread_self(), "procgroup-wait");
  std::unique_ptr<Waiter> waiter(static_cast<Waiter*>(data));
  siginfo_t info;
  long r;
  do {
    r = syscall(SYS_waitid, P_PID, waiter->pid, &info, WEXITED | WNOWAIT, nullptr);
  } while (r < 0 && errno == EINTR);
  Engine* engine = waiter->engine;
  engine->lock();
  engine->waitable_.push_back(waiter->id);
  engine->wake_for_deadline();
  engine->unlock();
  return nullptr;
}

// A pidfd does not show stops. This thread takes stop and continue notices only; it ends when the leader has ended.
void* Engine::stop_waiter_main(void* data) {
  pthread_setname_np(pthread_self(), "procgroup-wait");
  std::unique_ptr<Waiter> waiter(static_cast<Waiter*>(data));
  Engine* engine = waiter->engine;
  for (;;) {
    siginfo_t info = {};
    bool by_pidfd = waiter->pidfd >= 0;
    long r = syscall(SYS_waitid, by_pidfd ? 3 /* P_PIDFD */ : P_PID, by_pidfd ? waiter->pidfd : waiter->pid, &info,
                     WSTOPPED | WCONTINUED, nullptr);
    if (r < 0 && errno == EINTR) continue;
    if (r < 0 || info.si_pid == 0) break;
    Event event;
    event.row[0] = static_cast<double>(EventType::StopState);
    event.row[1] = waiter->ticket;
    event.row[2] = info.si_code == CLD_CONTINUED ? 0 : info.si_status;
    engine->lock();
    engine->post(waiter->environment, std::move(event));
    engine->unlock_and_notify();
  }
  if (waiter->pidfd >= 0) close(waiter->pidfd);
  return nullptr;
}

int Engine::watch_stops(uint64_t id) {
  lock();
  int r = -ESRCH;
  Group* group = supervisor_.find(id);
  if (group != nullptr && !group->ref.leader_exited && !group->attached) {
    bool by_pidfd = (features_ & kFeatureWaitidPidfd) && group->ref.pidfd.valid();
    int copy = by_pidfd ? fcntl(group->ref.pidfd.get(), F_DUPFD_CLOEXEC, std::max(high_fd_, 0)) : -1;
    auto* waiter = new Waiter{this, id, group->owner, group->ticket, group->ref.leader, copy};
    r = start_waiter(stop_waiter_main, waiter);
  }
  unlock();
  return r;
}

}  // namespace procgroup
