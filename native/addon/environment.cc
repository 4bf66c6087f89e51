#include "environment.h"

#include <cstring>

#include "engine.h"

namespace procgroup {

Environment* Environment::create(Napi::Env env, Napi::Function deliver) {
  auto* self = new Environment;
  self->env_ = env;
  Napi::Float64Array rows = Napi::Float64Array::New(env, size_t{kRows} * Event::kColumns);
  self->rows_ = rows.Data();
  self->buffer_ = Napi::Reference<Napi::Value>::New(rows, 1);
  napi_value name;
  if (napi_create_string_utf8(env, "procgroup", NAPI_AUTO_LENGTH, &name) != napi_ok ||
      napi_create_threadsafe_function(env, deliver, nullptr, name, 0, 1, nullptr, nullptr, self, on_call,
                                      &self->wake_) != napi_ok) {
    delete self;
    return nullptr;
  }
  napi_unref_threadsafe_function(env, self->wake_);
  Engine::peek()->add_environment(self);
  // Hooks run last in, first out: ours, before the one that ends the thread-safe function. After it nobody may call
  // that.
  napi_add_env_cleanup_hook(env, on_cleanup, self);
  return self;
}

void Environment::on_cleanup(void* data) {
  auto* self = static_cast<Environment*>(data);
  Engine::peek()->remove_environment(self->id_);
  self->buffer_.Reset();
  delete self;
}

void Environment::ref() { napi_ref_threadsafe_function(env_, wake_); }
void Environment::unref() { napi_unref_threadsafe_function(env_, wake_); }

void Environment::notify() {
  if (notified || queue.empty()) return;
  notified = true;
  napi_call_threadsafe_function(wake_, nullptr, napi_tsfn_nonblocking);
}

void Environment::on_call(napi_env env, napi_value callback, void* context, void*) {
  if (env == nullptr || callback == nullptr) return;  // the Environment is ending
  static_cast<Environment*>(context)->deliver(env, callback);
}

// One call for up to kRows events; the callback catches what its listeners throw and never calls back in here.
void Environment::deliver(napi_env env, napi_value callback) {
  std::vector<Event> batch;
  Engine::peek()->take_events(this, &batch);
  for (size_t at = 0; at < batch.size();) {
    size_t n = batch.size() - at < size_t{kRows} ? batch.size() - at : size_t{kRows};
    current_.clear();
    for (size_t i = 0; i < n; i++) {
      memcpy(rows_ + i * Event::kColumns, batch[at + i].row, sizeof batch[at + i].row);
      current_.push_back(std::move(batch[at + i]));
    }
    at += n;
    Napi::HandleScope scope(env);
    napi_value argument, receiver, result;
    if (napi_create_double(env, static_cast<double>(n), &argument) != napi_ok) return;
    if (napi_get_undefined(env, &receiver) != napi_ok) return;
    if (napi_call_function(env, receiver, callback, 1, &argument, &result) != napi_ok) return;
  }
  current_.clear();
}

}  // namespace procgroup
