// The threads that clone, and those that wait where no pidfd can. Spawner threads live as long as the process: a
// parent-death signal fires when the *thread* that cloned ends.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

#include "engine.h"
#include "environment.h"
#include "waiters.h"

namespace procgroup {

namespace {

constexpr size_t kSpawnerStack = 256 * 1024;
constexpr size_t kMostSpawners = 16;  // when clones are stuck before exec
constexpr uint64_t kMillisecond = 1'000'000;

size_t usual_spawners() {
  static const long cores = sysconf(_SC_NPROCESSORS_ONLN);  // reads a file
  return static_cast<size_t>(std::clamp(cores, 2L, 4L));
}

}  // namespace

void Job::close_descriptors() {
  for (int fd : owned_fds) close(fd);
  owned_fds.clear();
  socket.reset();
  tty.reset();
}

struct Engine::Spawner final : SpawnHooks {
  Engine* engine = nullptr;
  Job* job = nullptr;
  uint64_t clones = 0;  // started
  bool cloning = false;
  SpawnContext context;

  bool enter_clone(ChildPlan* plan) override {
    engine->lock();
    bool go = !job->cancelled;
    if (go) {
      job->plan = plan;
      clones++;
      cloning = true;
    }
    engine->unlock();
    return go;
  }

  void leave_clone() override {
    engine->lock();
    job->plan = nullptr;
    cloning = false;
    engine->last_clone_end_ = now_ns();
    if (engine->clone_waiters_ > 0) pthread_cond_broadcast(&engine->clones_moved_);
    engine->unlock();
  }

  void wait_for_other_clones() override {
    engine->lock();
    std::vector<std::pair<Spawner*, uint64_t>> under_way;
    for (Spawner* other : engine->spawners_) {
      if (other != this && other->cloning) under_way.emplace_back(other, other->clones);
    }
    uint64_t bound = now_ns() + 50 * kMillisecond;
    struct timespec until = {static_cast<time_t>(bound / 1'000'000'000), static_cast<long>(bound % 1'000'000'000)};
    engine->clone_waiters_++;
    auto any_left = [&] {
      return std::any_of(under_way.begin(), under_way.end(),
                         [](auto& entry) { return entry.first->cloning && entry.first->clones == entry.second; });
    };
    while (any_left() && pthread_cond_timedwait(&engine->clones_moved_, &engine->mutex_, &until) == 0) {
    }
    engine->clone_waiters_--;
    engine->unlock();
  }
};

// Called with the lock held. More threads than usual only when nothing has moved for a while: a clone is stuck.
void Engine::grow_spawners() {
  size_t most = usual_spawners();
  if (now_ns() - last_clone_end_ > 100 * kMillisecond) most = std::min(kMostSpawners, spawners_.size() + 1);
  if (idle_spawners_ >= static_cast<int>(jobs_.size()) || spawners_.size() >= std::max(most, size_t{1})) return;
  auto* spawner = new Spawner;
  spawner->engine = this;
  spawner->context.features = features_;
  spawner->context.high_fd = high_fd_;
  if (allocate_child_stack(&spawner->context.stack) == 0) {
    spawners_.push_back(spawner);
    last_clone_end_ = now_ns();
    if (start_detached(spawner_main, spawner, kSpawnerStack) == 0) return;
    spawners_.pop_back();
    free_child_stack(&spawner->context.stack);
  }
  delete spawner;
}

void Engine::submit(std::unique_ptr<Job> job) {
  lock();
  job->cancelled = shutting_down_;
  if (jobs_.empty()) last_clone_end_ = now_ns();  // idle time does not count as being stuck
  jobs_.push_back(std::move(job));
  grow_spawners();
  bool wake_one = idle_spawners_ > called_spawners_;
  called_spawners_ += wake_one;
  if (spawners_.empty()) {  // not even one thread: EAGAIN, as for a fork that is refused
    std::unique_ptr<Job> last = std::move(jobs_.back());
    jobs_.pop_back();
    post_failed(last->environment, last->ticket, make_error(EAGAIN, Stage::Clone, "pthread_create"));
  } else {
    // An idle one may have been signalled for an earlier job already: the loop watches over a queue that does not move.
    bool all_taken = idle_spawners_ < static_cast<int>(jobs_.size());
    if (all_taken && sleeping_until_ > now_ns() + 200 * kMillisecond) reaper_.wake();
  }
  unlock_and_notify();
  if (wake_one) pthread_cond_signal(&jobs_ready_);  // after the lock, which it would wait for
}

void* Engine::spawner_main(void* data) {
  pthread_setname_np(pthread_self(), "procgroup-spawn");
  auto* spawner = static_cast<Spawner*>(data);
  spawner->engine->run_spawner(spawner);
  return nullptr;
}

void Engine::run_spawner(Spawner* spawner) {
  for (;;) {
    lock();
    while (jobs_.empty()) {
      idle_spawners_++;
      pthread_cond_wait(&jobs_ready_, &mutex_);
      idle_spawners_--;
      if (called_spawners_ > 0) called_spawners_--;
    }
    std::unique_ptr<Job> job = std::move(jobs_.front());
    jobs_.pop_front();
    running_.push_back(job.get());
    bool cancelled = job->cancelled;
    unlock();
    spawner->job = job.get();
    if (job->kind == Job::Kind::Holders) {
      run_holders(*job);
      lock();
      std::erase(running_, job.get());
      if (shutting_down_) reaper_.wake();
      unlock();
      continue;
    }
    SpawnResult result;
    if (job->tree) result.error = prepare_tree(job.get());
    if (cancelled) {
      result.error = make_error(ECANCELED, Stage::Clone, "clone");
    } else if (!result.error.failed()) {
      spawn(spawner->context, job->request, *spawner, &result);
      // The program that could not be started is the guardian; but what is too long are the command's words.
      bool own = job->tree && result.error.stage == Stage::Exec && result.error.err != E2BIG;
      if (own && result.error.err != 0) result.error.stage = Stage::Guardian;
    }
    spawned(std::move(job), &result, &spawner->context);
  }
}

void Engine::run_holders(const Job& job) {
  ProcFs proc;
  Vec<Holder> holders;
  if (proc.open(high_fd_)) proc.pipe_writers(job.inode, &holders);
  Event event;
  event.row[0] = static_cast<double>(EventType::Holders);
  event.row[1] = job.ticket;
  event.payload = std::make_unique<Payload>();
  event.payload->holders.assign(holders.begin(), holders.end());
  lock();
  post(job.environment, std::move(event));
  unlock_and_notify();
}

void Engine::cancel(uint32_t environment, uint32_t ticket) {
  lock();
  for (auto& job : jobs_) {
    if (job->environment == environment && job->ticket == ticket) job->cancelled = true;
  }
  for (Job* job : running_) {
    if (job->environment == environment && job->ticket == ticket) interrupt(job);
  }
  for (auto& [id, ends] : starting_) {  // the guardian lives, its command has not been heard of
    Group* group = supervisor_.find(id);
    if (group == nullptr || group->owner != environment || group->ticket != ticket) continue;
    group->cancelled_owner = environment;
    group->owner = 0;
    supervisor_.begin(*group, Cause::Abort, true);
    break;
  }
  wake_for_deadline();
  unlock_and_notify();
}

// Ends a child that is stuck before exec. Its pid is written by the kernel within clone: where it is not there yet, the
// loop tries again.
void Engine::interrupt(Job* job) {
  job->cancelled = true;
  if (job->plan == nullptr) return;
  GroupRef child;
  // Written by the kernel, on the spawner's behalf.
  int pidfd = __atomic_load_n(&job->plan->pidfd, __ATOMIC_ACQUIRE);
  child.leader = __atomic_load_n(&job->plan->pid, __ATOMIC_ACQUIRE);
  bool sure = child.leader > 0 || !__atomic_load_n(&job->plan->tells_pid, __ATOMIC_ACQUIRE);
  if (pidfd >= 0 && sure) {
    sys_pidfd_send_signal(pidfd, SIGKILL, 0);
  } else if (child.leader > 0) {
    signal_leader(child, SIGKILL);  // the spawner has not come back, so nobody has reaped it
  } else {
    interrupt_again_ = true;
    reaper_.wake();
  }
}

}  // namespace procgroup
