// One JavaScript Environment (the main thread or a worker): its queue of events and how it is woken.
#pragma once
#include <napi.h>

#include <sys/types.h>

#include <atomic>
#include <mutex>
#include <vector>

#include "events.h"

namespace procgroup {

class Environment {
 public:
  // `deliver(count)` is called with rows in `buffer()`; nullptr where the Environment cannot take a thread-safe
  // function.
  static Environment* create(napi_env env, napi_value deliver);
  static constexpr int kRows = 256;

  uint32_t id() const { return id_; }
  void set_id(uint32_t id) { id_ = id; }  // by the engine, under its lock
  napi_value buffer() const;
  Payload* payload(size_t row) { return row < current_.size() ? current_[row].payload.get() : nullptr; }

  // Its own thread. Descriptors that the callback is being given: if the thread is terminated before it could own them,
  // they are closed at the end of the Environment.
  void hand_over(const std::vector<int>& fds);
  void clear_handed() { handed_.clear(); }
  void ref();
  void unref();

  // libuv.cc: an eventfd that counts the exits from now on, so that a loop can tell which of them its poll has seen.
  // Closed with the Environment. Negative errno.
  int count_exits();
  uint64_t delivered_exits() const { return delivered_exits_; }  // of those counted

  // Under the engine's lock. What is handed over can be taken without that lock. True: wake() has to follow.
  std::vector<Event> queue;
  void post(Event&& event);
  bool hand_over_queue();
  // From any thread that counts in `wakers`.
  void wake();
  std::atomic<int> wakers{0};

 private:
  Environment() = default;
  static void on_call(napi_env env, napi_value callback, void* context, void* data);
  static void on_cleanup(void* self);
  void deliver(napi_env env, napi_value callback);
  void close_unowned();

  napi_env env_ = nullptr;
  uint32_t id_ = 0;
  napi_threadsafe_function wake_ = nullptr;
  napi_ref buffer_ = nullptr;
  double* rows_ = nullptr;
  std::mutex mutex_;
  std::vector<Event> handed_over_;  // guarded by mutex_, with notified_
  bool notified_ = false;
  std::vector<Event> current_;
  std::atomic<int> exit_fd_{-1};
  uint64_t delivered_exits_ = 0;
  struct Handed {
    int fd;
    dev_t device;
    ino_t inode;
  };
  std::vector<Handed> handed_;
};

}  // namespace procgroup
