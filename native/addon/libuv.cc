#include "libuv.h"

#include <dlfcn.h>
#include <unistd.h>
#include <uv.h>

#include "environment.h"

// The only file that knows libuv: the order of a loop's phases, and the lists in its public structures, whose layout
// libuv 1.x keeps.

namespace procgroup {
namespace {

// Looked up at run time: a runtime without libuv can load the addon all the same.
struct Uv {
  decltype(&uv_check_init) check_init;
  decltype(&uv_check_start) check_start;
  decltype(&uv_check_stop) check_stop;
  decltype(&uv_poll_init) poll_init;
  decltype(&uv_poll_start) poll_start;
  decltype(&uv_unref) unref;
  decltype(&uv_close) close;

  static const Uv* get() {
    static const Uv uv = {
        find<decltype(check_init)>("uv_check_init"), find<decltype(check_start)>("uv_check_start"),
        find<decltype(check_stop)>("uv_check_stop"), find<decltype(poll_init)>("uv_poll_init"),
        find<decltype(poll_start)>("uv_poll_start"), find<decltype(unref)>("uv_unref"),
        find<decltype(close)>("uv_close"),
    };
    static const bool same = same_layout();
    bool whole = same && uv.check_init != nullptr && uv.check_start != nullptr && uv.check_stop != nullptr &&
                 uv.poll_init != nullptr && uv.poll_start != nullptr && uv.unref != nullptr && uv.close != nullptr;
    return whole ? &uv : nullptr;
  }

 private:
  // The handles lie in memory of ours, and settle_closed() reads the loop: a libuv 2, or one that was built otherwise,
  // is left alone.
  static bool same_layout() {
    auto version = find<decltype(&uv_version)>("uv_version");
    auto loop_size = find<decltype(&uv_loop_size)>("uv_loop_size");
    auto handle_size = find<decltype(&uv_handle_size)>("uv_handle_size");
    return version != nullptr && loop_size != nullptr && handle_size != nullptr && version() >> 16 == 1 &&
           loop_size() == sizeof(uv_loop_t) && handle_size(UV_CHECK) == sizeof(uv_check_t) &&
           handle_size(UV_POLL) == sizeof(uv_poll_t);
  }

  template <typename F>
  static F find(const char* name) {
    return reinterpret_cast<F>(dlsym(RTLD_DEFAULT, name));
  }
};

struct AfterPoll {
  uv_check_t handle;  // the last to be started is the first to run, so before Node's own
  uv_poll_t exits;    // readable where the poll has found exits that have not been counted yet
  bool counting = false;
  int fd = -1;  // the Environment's
  uint64_t seen = 0;
  int open = 0;
  Environment* environment = nullptr;
  napi_env env = nullptr;
  napi_ref callback = nullptr;
  napi_async_cleanup_hook_handle hook = nullptr;
  uint32_t due = 0;
  uint32_t deferred = 0;  // of those due: a whole poll has been since they came
  bool closing = false;
};

// As Node's MakeCallback: ticks and microtasks follow it. In a worker that is being terminated it does nothing.
void call(AfterPoll* self) {
  napi_env env = self->env;
  napi_handle_scope scope;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  napi_value function = nullptr, global = nullptr;
  if (napi_get_reference_value(env, self->callback, &function) == napi_ok && napi_get_global(env, &global) == napi_ok &&
      napi_make_callback(env, nullptr, global, function, 0, nullptr, nullptr) == napi_pending_exception) {
    napi_value error;
    if (napi_get_and_clear_last_exception(env, &error) == napi_ok) napi_fatal_exception(env, error);
  }
  napi_close_handle_scope(env, scope);
}

void on_exits(uv_poll_t* handle, int status, int) {
  auto* self = static_cast<AfterPoll*>(handle->data);
  uint64_t count = 0;
  int fd = self->fd;
  if (status == 0 && read(fd, &count, sizeof count) == sizeof count) self->seen += count;
}

// Where the poll has not seen them all, the eventfd is readable, and the next poll does not wait.
void on_check(uv_check_t* handle) {
  auto* self = static_cast<AfterPoll*>(handle->data);
  bool all = !self->counting || self->seen >= self->environment->delivered_exits();
  uint32_t now = all ? self->due : self->deferred;
  self->due -= now;
  self->deferred = self->due;
  if (self->due == 0) Uv::get()->check_stop(handle);
  for (; now > 0 && !self->closing; now--) call(self);
}

void on_closed(uv_handle_t* handle) {
  auto* self = static_cast<AfterPoll*>(handle->data);
  if (--self->open > 0) return;
  napi_remove_async_cleanup_hook(self->hook);
  delete self;
}

void on_cleanup(napi_async_cleanup_hook_handle, void* data) {
  auto* self = static_cast<AfterPoll*>(data);
  self->closing = true;
  Uv::get()->check_stop(&self->handle);
  self->open = self->counting ? 2 : 1;
  Uv::get()->close(reinterpret_cast<uv_handle_t*>(&self->handle), on_closed);
  // Before the Environment closes the descriptor: hooks run last in, first out.
  if (self->counting) Uv::get()->close(reinterpret_cast<uv_handle_t*>(&self->exits), on_closed);
}

void count_exits(AfterPoll* self, uv_loop_t* loop) {
  self->fd = self->environment->count_exits();
  if (self->fd < 0 || Uv::get()->poll_init(loop, &self->exits, self->fd) != 0) return;
  self->counting = true;
  self->exits.data = self;
  Uv::get()->unref(reinterpret_cast<uv_handle_t*>(&self->exits));
  Uv::get()->poll_start(&self->exits, UV_READABLE, on_exits);
}

Napi::Value arm(const Napi::CallbackInfo& info) {
  auto* self = static_cast<AfterPoll*>(info.Data());
  self->due++;
  if (!self->closing) Uv::get()->check_start(&self->handle, on_check);
  return info.Env().Undefined();
}

}  // namespace

Napi::Value after_poll(const Napi::CallbackInfo& info, Environment* environment) {
  Napi::Env env = info.Env();
  const Uv* uv = Uv::get();
  uv_loop_t* loop = nullptr;
  if (uv == nullptr || napi_get_uv_event_loop(env, &loop) != napi_ok || loop == nullptr) return env.Null();
  auto* self = new AfterPoll;
  self->env = env;
  self->environment = environment;
  self->handle.data = self;
  if (uv->check_init(loop, &self->handle) != 0) {
    delete self;
    return env.Null();
  }
  uv->unref(reinterpret_cast<uv_handle_t*>(&self->handle));
  count_exits(self, loop);
  napi_create_reference(env, info[0], 1, &self->callback);
  napi_add_async_cleanup_hook(env, on_cleanup, self, &self->hook);
  return Napi::Function::New(env, arm, "arm", self);
}

Napi::Value settle_closed(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  uv_loop_t* loop = nullptr;
  if (Uv::get() == nullptr || napi_get_uv_event_loop(env, &loop) != napi_ok || loop == nullptr) return env.Undefined();
  uv_handle_t* closed = loop->closing_handles;  // the last one to be closed is its first
  if (closed == nullptr || closed->type != UV_PROCESS) return env.Undefined();
  auto* link = &closed->handle_queue;
  if (link->prev->next == link) return env.Undefined();  // it is in the list, or in none
  auto* list = &loop->handle_queue;
  link->next = list;
  link->prev = list->prev;
  link->prev->next = link;
  list->prev = link;
  return env.Undefined();
}

}  // namespace procgroup
