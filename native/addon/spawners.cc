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
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  return static_cast<size_t>(std::clamp(cores, 2L, 4L));
}

}  // namespace

Job::~Job() {
  for (int fd : owned_fds) close(fd);
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
      plan->pid = 0;
      plan->pidfd = -1;
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
  if (idle_spawners_ > 0 || spawners_.size() >= std::max(most, size_t{1})) return;
  auto* spawner = new Spawner;
  spawner->engine = this;
  spawner->context.features = features_;
  spawner->context.high_fd = high_fd_;
  if (allocate_child_stack(&spawner->context.stack) == 0) {
    spawners_.push_back(spawner);
    last_clone_end_ = now_ns();
    if (start_detached(spawner_main, spawner, kSpawnerStack) == 0) return;
    spawners_.pop_back();
  }
  delete spawner;
}

void Engine::submit(std::unique_ptr<Job> job) {
  lock();
  job->cancelled = shutting_down_;
  jobs_.push_back(std::move(job));
  if (idle_spawners_ == 0) grow_spawners();
  if (spawners_.empty()) {  // not even one thread: EAGAIN, as for a fork that is refused
    std::unique_ptr<Job> last = std::move(jobs_.back());
    jobs_.pop_back();
    post_failed(last->environment, last->ticket, make_error(EAGAIN, Stage::Clone, "pthread_create"));
    notify_environments();
  } else if (idle_spawners_ > 0) {
    pthread_cond_signal(&jobs_ready_);
  } else if (sleeping_until_ > now_ns() + 200 * kMillisecond) {
    reaper_.wake();  // the loop watches over a queue that does not move
  }
  unlock();
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
    }
    std::unique_ptr<Job> job = std::move(jobs_.front());
    jobs_.pop_front();
    running_.push_back(job.get());
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
    if (job->cancelled) {
      result.error = make_error(ECANCELED, Stage::Clone, "clone");
    } else if (!result.error.failed()) {
      spawn(spawner->context, job->request, *spawner, &result);
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
  notify_environments();
  unlock();
}

void Engine::post_failed(uint32_t environment, uint32_t ticket, const Error& error) {
  Event event;
  double row[] = {static_cast<double>(EventType::Failed), static_cast<double>(ticket),
                  static_cast<double>(error.err),         static_cast<double>(error.stage),
                  static_cast<double>(error.index),       static_cast<double>(error.term_signal)};
  memcpy(event.row, row, sizeof row);
  event.payload = std::make_unique<Payload>();
  event.payload->syscall = error.syscall;
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
    tree_spawned(job.get(), result, &error);
    if (!error.failed()) {
      wake_for_deadline();
      unlock();
      return;
    }
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
    if (r < 0) {
      error = make_error(-r, Stage::Register, "pthread_create");
      group = supervisor_.discard(group);
    }
  }
  if (group == nullptr) {
    for (int fd : result->parent_ends) {
      if (fd >= 0) close(fd);
    }
    post_failed(job->environment, job->ticket, error);
    if (job->killer_for != 0) supervisor_.killer_failed(job->killer_for, error.err);
    notify_environments();
    if (shutting_down_) reaper_.wake();
    unlock();
    return;
  }
  group->ticket = job->ticket;
  group->held = job->held;
  group->tty = std::move(result->tty);
  group->tty_owner = result->tty_owner;
  group->killer_for = job->killer_for;
  group->killer_signal = job->killer_signal;
  if (job->killer) killers_.emplace_back(group->id(), job->killer);
  if (job->cancelled || shutting_down_) {
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
  notify_environments();
  unlock();
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
  unlock();
}

// Ends a child that is stuck before exec. Its pid is written by the kernel within clone: where it is not there yet, the
// loop tries again.
void Engine::interrupt(Job* job) {
  job->cancelled = true;
  if (job->plan == nullptr) return;
  GroupRef child;
  child.leader = job->plan->pid;
  if (job->plan->pidfd >= 0) {
    sys_pidfd_send_signal(job->plan->pidfd, SIGKILL, 0);
  } else if (child.leader > 0) {
    signal_leader(child, SIGKILL);  // the spawner has not come back, so nobody has reaped it
  } else {
    interrupt_again_ = true;
    reaper_.wake();
  }
}

}  // namespace procgroup
