#include "engine.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

#include "environment.h"

namespace procgroup {
namespace {

constexpr uint64_t kMillisecond = 1'000'000;
constexpr size_t kLoopStack = 256 * 1024;

pthread_mutex_t g_start_mutex = PTHREAD_MUTEX_INITIALIZER;
std::atomic<Engine*> g_engine{nullptr};
pid_t g_engine_pid = 0;

// The descriptors of the engine live above this number, so that a child can leave them all behind in one call.
int line_of_engine_descriptors() {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return -1;
  if (limit.rlim_cur >= 8192) return 4096;
  return limit.rlim_cur >= 64 ? static_cast<int>(limit.rlim_cur / 2) : -1;
}

}  // namespace

uint32_t Engine::features_named(const std::string& list) {
  uint32_t bits = 0;
  std::string names = "," + list + ",";
  auto has = [&](const char* name) { return names.find(std::string(",") + name + ",") != std::string::npos; };
  if (has("clone3")) bits |= kFeatureClone3;
  if (has("clone_pidfd")) bits |= kFeatureClonePidfd;
  if (has("pidfd_group")) bits |= kFeaturePidfdGroup;
  if (has("close_range")) bits |= kFeatureCloseRange;
  if (has("waitid_pidfd")) bits |= kFeatureWaitidPidfd;
  if (has("pidfd_info")) bits |= kFeaturePidfdInfoExit;
  if (has("number_free")) bits |= kFeatureNumberFree;
  if (has("pidfd")) bits |= kFeaturePidfd;
  return bits;
}

Engine::Engine() : supervisor_(this, &reaper_) {
  pthread_mutexattr_t spinning;
  pthread_mutexattr_init(&spinning);
#ifdef __GLIBC__
  // Held for less than a sleep and a wake-up take.
  pthread_mutexattr_settype(&spinning, PTHREAD_MUTEX_ADAPTIVE_NP);
#endif
  pthread_mutex_init(&mutex_, &spinning);
  pthread_mutexattr_destroy(&spinning);
  pthread_condattr_t monotonic;
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init(&jobs_ready_, &monotonic);
  pthread_cond_init(&clones_moved_, &monotonic);
  pthread_cond_init(&drained_, &monotonic);
  pthread_cond_init(&told_, nullptr);
  pthread_cond_init(&woken_, nullptr);
}

int start_detached(void* (*main)(void*), void* argument, size_t stack) {
  // A new thread inherits the mask: with everything blocked no handler of the process ever runs on ours.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, stack);
  pthread_t thread;
  int err = pthread_create(&thread, &attributes, main, argument);
  pthread_attr_destroy(&attributes);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return -err;
}

int Engine::start(const std::string& disabled) {
  high_fd_ = line_of_engine_descriptors();
  probe_ = probe_kernel(features_named(disabled));
  features_ = probe_.available;
  int r = reaper_.open(high_fd_);
  if (r < 0) return r;
  supervisor_.configure(features_, high_fd_);
  return start_detached(loop_main, this, kLoopStack);
}

Engine* Engine::peek() { return g_engine.load(std::memory_order_acquire); }

Engine* Engine::get(int* error, const std::string& disabled) {
  Engine* engine = peek();
  if (engine != nullptr) return engine;
  pthread_mutex_lock(&g_start_mutex);
  engine = peek();
  if (engine == nullptr) {
    auto* fresh = new Engine;
    *error = fresh->start(disabled);
    if (*error == 0) {
      engine = fresh;
      g_engine_pid = getpid();
      g_engine.store(fresh, std::memory_order_release);
      atexit([] {
        if (getpid() == g_engine_pid) peek()->shut_down();  // not in a child that some other code forked
      });
    } else {
      delete fresh;  // no thread runs yet
    }
  }
  pthread_mutex_unlock(&g_start_mutex);
  return engine;
}

void* Engine::loop_main(void* self) {
  pthread_setname_np(pthread_self(), "procgroup-loop");
  static_cast<Engine*>(self)->loop();
  return nullptr;
}

void Engine::loop() {
  struct epoll_event events[Reaper::kBatch];
  for (;;) {
    lock();
    uint64_t deadline = supervisor_.batch_due() || !waitable_.empty() ? 0 : supervisor_.next_deadline();
    if (!jobs_.empty()) deadline = std::min(deadline, now_ns() + 100 * kMillisecond);
    if (interrupt_again_) deadline = std::min(deadline, now_ns() + kMillisecond);
    sleeping_until_ = deadline;
    unlock();
    int n = reaper_.wait(events, deadline);
    lock();
    sleeping_until_ = 0;
    for (int i = 0; i < n; i++) {
      Token token = Token::unpack(events[i].data.u64);
      if (token.kind != Supervisor::kForeign) {
        supervisor_.on_event(token);
        continue;
      }
      for (size_t w = 0; w < pidfd_watches_.size(); w++) {
        PidfdWatch watch = pidfd_watches_[w];
        if (watch.generation != token.generation) continue;
        reaper_.remove(watch.fd);
        pidfd_watches_.erase(pidfd_watches_.begin() + static_cast<long>(w));
        Event event;
        event.row[0] = static_cast<double>(EventType::PidfdReady);
        event.row[1] = watch.ticket;
        post(watch.environment, std::move(event));
        break;
      }
    }
    std::vector<uint64_t> waitable;
    waitable.swap(waitable_);
    for (uint64_t id : waitable) supervisor_.on_leader_waitable(id);
    supervisor_.on_timers(now_ns());
    if (supervisor_.batch_due()) supervisor_.on_batch_end();
    if (!jobs_.empty()) grow_spawners();
    if (interrupt_again_) {
      interrupt_again_ = false;
      for (Job* job : running_) {
        if (job->cancelled) interrupt(job);
      }
    }
    if (shutting_down_ && running_.empty() && supervisor_.undecided() == 0) pthread_cond_broadcast(&drained_);
    unlock_and_notify();
  }
}

// After a change that may have moved the earliest deadline, or that the loop must act on.
void Engine::wake_for_deadline() {
  if (sleeping_until_ == 0) return;  // it is awake and looks again before it sleeps
  if (supervisor_.batch_due() || !waitable_.empty() || supervisor_.next_deadline() < sleeping_until_) reaper_.wake();
}

uint32_t Engine::add_environment(Environment* environment) {
  lock();
  uint32_t id = ++next_environment_;
  environment->set_id(id);
  environments_.push_back(environment);
  unlock();
  return id;
}

void Engine::remove_environment(uint32_t id) {
  lock();
  auto found = std::find_if(environments_.begin(), environments_.end(), [&](Environment* e) { return e->id() == id; });
  Environment* environment = *found;
  environments_.erase(found);
  for (auto& job : jobs_) {
    if (job->environment == id) job->cancelled = true;
  }
  for (Job* job : running_) {
    if (job->environment == id) interrupt(job);
  }
  for (const PidfdWatch& watch : pidfd_watches_) {
    if (watch.environment == id) reaper_.remove(watch.fd), close(watch.fd);
  }
  std::erase_if(pidfd_watches_, [&](const PidfdWatch& w) { return w.environment == id; });
  supervisor_.end_owner(id);
  wake_for_deadline();
  ending_environments_++;
  while (environment->wakers != 0) pthread_cond_wait(&woken_, &mutex_);
  ending_environments_--;
  unlock();
}

void Engine::post(uint32_t environment, Event&& event) {
  if (!waiting_.empty() && told_caller(environment, &event)) return;
  for (Environment* e : environments_) {
    if (e->id() == environment) return e->post(std::move(event));
  }
}

// The wake-up comes after the lock: the thread that it wakes wants it next, and on a busy machine runs at once, in the
// place of ours. An Environment counts who is about to wake it, and does not end before.
void Engine::unlock_and_notify() {
  constexpr int kMost = 8;
  Environment* due[kMost];
  int n = 0;
  for (Environment* e : environments_) {
    if (shutting_down_ || !e->hand_over_queue()) continue;
    if (n == kMost) {
      e->wake();
      continue;
    }
    e->wakers++;
    due[n++] = e;
  }
  unlock();
  for (int i = 0; i < n; i++) {
    due[i]->wake();
    if (--due[i]->wakers != 0 || ending_environments_ == 0) continue;
    lock();
    pthread_cond_broadcast(&woken_);
    unlock();
  }
}

void Engine::shut_down() {
  lock();
  shutting_down_ = true;
  for (auto& job : jobs_) job->cancelled |= job->killer_for == 0;
  for (Job* job : running_) {
    if (job->killer_for == 0) interrupt(job);
  }
  supervisor_.end_owner(0);
  reaper_.wake();
  uint64_t bound = now_ns() + supervisor_.longest_end() + 500 * kMillisecond;
  while (!running_.empty() || supervisor_.undecided() != 0) {
    struct timespec until = {static_cast<time_t>(bound / 1'000'000'000), static_cast<long>(bound % 1'000'000'000)};
    if (pthread_cond_timedwait(&drained_, &mutex_, &until) == ETIMEDOUT) break;
  }
  unlock();
}

}  // namespace procgroup
