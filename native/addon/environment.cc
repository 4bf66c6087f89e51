#include "environment.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <iterator>

#include "engine.h"

namespace procgroup {

// Every call may be refused: a worker that is being terminated comes through here too, and must not crash on it.
Environment* Environment::create(napi_env env, napi_value deliver) {
  auto* self = new Environment;
  self->env_ = env;
  size_t count = size_t{kRows} * Event::kColumns;
  void* data = nullptr;
  napi_value memory, rows, name;
  bool made = napi_create_arraybuffer(env, count * sizeof(double), &data, &memory) == napi_ok &&
              napi_create_typedarray(env, napi_float64_array, count, memory, 0, &rows) == napi_ok &&
              napi_create_reference(env, rows, 1, &self->buffer_) == napi_ok &&
              napi_create_string_utf8(env, "procgroup", NAPI_AUTO_LENGTH, &name) == napi_ok &&
              napi_create_threadsafe_function(env, deliver, nullptr, name, 0, 1, nullptr, nullptr, self, on_call,
                                              &self->wake_) == napi_ok;
  if (!made) {
    if (self->buffer_ != nullptr) napi_delete_reference(env, self->buffer_);
    delete self;
    return nullptr;
  }
  self->rows_ = static_cast<double*>(data);
  napi_unref_threadsafe_function(env, self->wake_);
  Engine::peek()->add_environment(self);
  // Hooks run last in, first out: ours, before the one that ends the thread-safe function. After it nobody may call
  // that.
  napi_add_env_cleanup_hook(env, on_cleanup, self);
  return self;
}

napi_value Environment::buffer() const {
  napi_value rows = nullptr;
  napi_get_reference_value(env_, buffer_, &rows);
  return rows;
}

void Environment::on_cleanup(void* data) {
  auto* self = static_cast<Environment*>(data);
  Engine::peek()->remove_environment(self->id_);
  napi_delete_reference(self->env_, self->buffer_);
  self->close_unowned();
  if (self->exit_fd_ >= 0) close(self->exit_fd_);
  delete self;
}

void Environment::hand_over(const std::vector<int>& fds) {
  struct stat info;
  for (int fd : fds) {
    if (fd >= 0 && fstat(fd, &info) == 0) handed_.push_back({fd, info.st_dev, info.st_ino});
  }
}

// The Environment's handles are closed by now: a number that still shows our pipe belongs to nobody.
void Environment::close_unowned() {
  struct stat info;
  for (const Handed& handed : handed_) {
    if (fstat(handed.fd, &info) == 0 && info.st_dev == handed.device && info.st_ino == handed.inode) close(handed.fd);
  }
}

void Environment::ref() { napi_ref_threadsafe_function(env_, wake_); }
void Environment::unref() { napi_unref_threadsafe_function(env_, wake_); }

int Environment::count_exits() {
  int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (fd < 0) return -errno;
  exit_fd_ = fd;
  return fd;
}

void Environment::post(Event&& event) {
  int fd = exit_fd_;
  if (fd >= 0 && static_cast<EventType>(static_cast<int>(event.row[0])) == EventType::Exit) {
    uint64_t one = 1;
    event.signalled = write(fd, &one, sizeof one) == sizeof one;
  }
  queue.push_back(std::move(event));
}

bool Environment::hand_over_queue() {
  if (queue.empty()) return false;
  std::lock_guard lock(mutex_);
  if (handed_over_.empty()) {
    handed_over_.swap(queue);
  } else {
    std::move(queue.begin(), queue.end(), std::back_inserter(handed_over_));
    queue.clear();
  }
  bool first = !notified_;
  notified_ = true;
  return first;
}

void Environment::wake() { napi_call_threadsafe_function(wake_, nullptr, napi_tsfn_nonblocking); }

void Environment::on_call(napi_env env, napi_value callback, void* context, void*) {
  if (env == nullptr || callback == nullptr) return;  // the Environment is ending
  static_cast<Environment*>(context)->deliver(env, callback);
}

// One call for up to kRows events; the callback catches what its listeners throw and never calls back in here.
void Environment::deliver(napi_env env, napi_value callback) {
  std::vector<Event> batch;
  {
    std::lock_guard lock(mutex_);
    batch.swap(handed_over_);
    notified_ = false;
  }
  for (size_t at = 0; at < batch.size();) {
    size_t n = batch.size() - at < size_t{kRows} ? batch.size() - at : size_t{kRows};
    current_.clear();
    for (size_t i = 0; i < n; i++) {
      memcpy(rows_ + i * Event::kColumns, batch[at + i].row, sizeof batch[at + i].row);
      delivered_exits_ += batch[at + i].signalled;
      current_.push_back(std::move(batch[at + i]));
    }
    at += n;
    Napi::HandleScope scope(env);
    napi_value argument, receiver, result;
    if (napi_create_double(env, static_cast<double>(n), &argument) != napi_ok) return;
    if (napi_get_undefined(env, &receiver) != napi_ok) return;
    if (napi_call_function(env, receiver, callback, 1, &argument, &result) != napi_ok) return;
    handed_.clear();
  }
  current_.clear();
}

}  // namespace procgroup
