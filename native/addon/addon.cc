// The functions that lib/native.ts sees. Arguments were validated there; nothing here throws but what napi itself does.
#include <napi.h>

#include <errno.h>

#include <cmath>

#include "engine.h"
#include "environment.h"
#include "libuv.h"
#include "posix.h"
#include "request.h"
#include "sync_spawn.h"

namespace procgroup {
namespace {

// A function of what start() gave: it is bound to its Environment.
Environment* environment_of(const Napi::CallbackInfo& info) { return static_cast<Environment*>(info.Data()); }

Napi::Value number(Napi::Env env, double value) { return Napi::Number::New(env, value); }

void spawn_job(const Napi::CallbackInfo& info) { Engine::peek()->submit(read_job(info, environment_of(info)->id())); }

Napi::Value after_poll_bound(const Napi::CallbackInfo& info) { return after_poll(info, environment_of(info)); }
Napi::Value spawn_now(const Napi::CallbackInfo& info) { return spawn_now_call(info, environment_of(info)); }

Napi::Value signal_leader(const Napi::CallbackInfo& info) {
  uint64_t id = static_cast<uint64_t>(info[0].As<Napi::Number>().Int64Value());
  return number(info.Env(), Engine::peek()->signal_leader_of(id, info[1].As<Napi::Number>().Int32Value()));
}

void cancel(const Napi::CallbackInfo& info) {
  Engine::peek()->cancel(environment_of(info)->id(), info[0].As<Napi::Number>().Uint32Value());
}

uint64_t id_of(const Napi::Value& value) { return static_cast<uint64_t>(value.As<Napi::Number>().Int64Value()); }

Napi::Value begin(const Napi::CallbackInfo& info) {
  Cause cause = static_cast<Cause>(info[1].As<Napi::Number>().Int32Value());
  bool known = Engine::peek()->begin(id_of(info[0]), cause, info[2].As<Napi::Boolean>().Value());
  return Napi::Boolean::New(info.Env(), known);
}

// target * 1000 + errno.
Napi::Value signal(const Napi::CallbackInfo& info) {
  SignalResult result;
  Engine::peek()->signal(id_of(info[0]), info[1].As<Napi::Number>().Int32Value(), &result);
  return number(info.Env(), static_cast<int>(result.target) * 1000 + result.err);
}

Napi::Value members(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), Engine::peek()->ask_members(id_of(info[0])));
}

Napi::Value release(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), Engine::peek()->release(id_of(info[0])));
}

// renew(id, milliseconds): Infinity clears the lease.
Napi::Value renew(const Napi::CallbackInfo& info) {
  double ms = info[1].As<Napi::Number>().DoubleValue();
  uint64_t lease_ns = std::isinf(ms) ? kNever : to_ns(ms);
  return Napi::Boolean::New(info.Env(), Engine::peek()->renew(id_of(info[0]), lease_ns));
}

Napi::Value pause(const Napi::CallbackInfo& info) {
  return number(info.Env(), Engine::peek()->pause(id_of(info[0]), info[1].As<Napi::Boolean>().Value()));
}

Napi::Value watch_stops(const Napi::CallbackInfo& info) {
  return number(info.Env(), Engine::peek()->watch_stops(id_of(info[0])));
}

void holders(const Napi::CallbackInfo& info) {
  auto job = std::make_unique<Job>();
  job->kind = Job::Kind::Holders;
  job->environment = environment_of(info)->id();
  job->ticket = info[0].As<Napi::Number>().Uint32Value();
  job->inode = static_cast<uint64_t>(info[1].As<Napi::Number>().Int64Value());
  Engine::peek()->submit(std::move(job));
}

// attach(ticket, pgid, killer | null, numbers): [id, sid, pin, leader exited], or a negative errno.
Napi::Value attach(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  GroupOptions options;
  uint64_t killer_timeout = 0;
  size_t at = 0;
  read_teardown(info[3].As<Napi::Float64Array>().Data(), &at, &options, &killer_timeout);
  std::shared_ptr<const Killer> killer = read_killer(info[2], killer_timeout);
  options.killer = killer != nullptr;
  GroupRef placement;
  int error = 0;
  uint64_t id =
      Engine::peek()->attach(info[1].As<Napi::Number>().Int32Value(), std::move(options), killer,
                             environment_of(info)->id(), info[0].As<Napi::Number>().Uint32Value(), &placement, &error);
  if (id == 0) return number(env, -error);
  Napi::Array result = Napi::Array::New(env, 4);
  result.Set(0u, number(env, static_cast<double>(id)));
  result.Set(1u, number(env, placement.sid));
  result.Set(2u, number(env, static_cast<double>(placement.pin)));
  result.Set(3u, Napi::Boolean::New(env, placement.leader_exited));
  return result;
}

Napi::Object process_object(Napi::Env env, const ProcStat& stat) {
  Napi::Object object = Napi::Object::New(env);
  object["pid"] = number(env, stat.pid);
  object["ppid"] = number(env, stat.ppid);
  object["pgid"] = number(env, stat.pgid);
  object["sid"] = number(env, stat.sid);
  object["state"] = Napi::String::New(env, &stat.state, 1);
  object["comm"] = Napi::String::New(env, stat.comm);
  return object;
}

// What a row could not hold; called by deliver() only, for rows of its batch.
Napi::Value payload(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Payload* payload = environment_of(info)->payload(info[0].As<Napi::Number>().Uint32Value());
  if (payload == nullptr) return env.Null();
  Napi::Object object = Napi::Object::New(env);
  auto list = [&](const char* name, const auto& values, auto make) {
    Napi::Array array = Napi::Array::New(env, values.size());
    for (uint32_t i = 0; i < values.size(); i++) array.Set(i, make(values[i]));
    object.Set(name, array);
  };
  if (payload->syscall[0] != '\0') object["syscall"] = Napi::String::New(env, payload->syscall);
  object["leaf"] = Napi::String::New(env, payload->leaf);
  list("usage", payload->usage, [&](int64_t value) { return number(env, static_cast<double>(value)); });
  list("fds", payload->fds, [&](int fd) { return number(env, fd); });
  environment_of(info)->hand_over(payload->fds);
  payload->fds.clear();  // the caller's from here on
  list("steps", payload->steps, [&](const StepRecord& step) {
    Napi::Object o = Napi::Object::New(env);
    o["signal"] = number(env, step.signal);
    o["target"] = number(env, static_cast<double>(step.target));
    o["err"] = number(env, step.err);
    o["atMs"] = number(env, static_cast<double>(step.at_ns) / 1e6);
    return o;
  });
  list("survivors", payload->survivors, [&](const SurvivorRecord& survivor) {
    Napi::Object o = process_object(env, survivor.stat);
    o["wchan"] = Napi::String::New(env, survivor.wchan);
    o["err"] = number(env, survivor.err);
    o["heldByTracer"] = Napi::Boolean::New(env, survivor.held_by_tracer != 0);
    return o;
  });
  list("members", payload->members, [&](const ProcStat& stat) {
    Napi::Object o = process_object(env, stat);
    o["startTime"] = number(env, static_cast<double>(stat.start_time));
    o["rss"] = number(env, static_cast<double>(stat.rss_bytes));
    return o;
  });
  list("holders", payload->holders, [&](const Holder& holder) {
    Napi::Object o = Napi::Object::New(env);
    o["pid"] = number(env, holder.pid);
    o["comm"] = Napi::String::New(env, holder.comm);
    return o;
  });
  return object;
}

void ref(const Napi::CallbackInfo& info) { environment_of(info)->ref(); }
void unref(const Napi::CallbackInfo& info) { environment_of(info)->unref(); }

// probe(disabled): [available bits, errno of each feature in turn], by real calls, without starting the engine.
Napi::Value probe(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Engine* engine = Engine::peek();
  ProbeResult result =
      engine != nullptr ? engine->probe() : probe_kernel(Engine::features_named(info[0].As<Napi::String>()));
  Napi::Array array = Napi::Array::New(env);
  array.Set(0u, number(env, engine != nullptr ? engine->features() : result.available));
  for (uint32_t i = 0; i < 7; i++) array.Set(i + 1, number(env, result.errnos[i]));
  return array;
}

Napi::Value watch_pidfd(const Napi::CallbackInfo& info) {
  int fd = info[0].As<Napi::Number>().Int32Value();
  uint32_t ticket = info[1].As<Napi::Number>().Uint32Value();
  return number(info.Env(), Engine::peek()->watch_pidfd(fd, environment_of(info)->id(), ticket));
}

void forget_pidfd(const Napi::CallbackInfo& info) {
  int fd = info[0].As<Napi::Number>().Int32Value();
  uint32_t ticket = info[1].As<Napi::Number>().Uint32Value();
  Engine::peek()->forget_pidfd(fd, environment_of(info)->id(), ticket);
}

// start(deliver, disabled): starts the engine of the process at its first call, and makes a queue for the caller. Each
// copy of the JavaScript that is loaded into one thread calls it, and gets functions bound to a queue of its own. A
// negative errno, or an object with `rows`, which deliver(count) reads, and the functions.
Napi::Value start(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int error = 0;
  if (Engine::get(&error, info[1].As<Napi::String>()) == nullptr) return number(env, error);
  Environment* environment = Environment::create(env, info[0]);
  if (environment == nullptr) return number(env, -ENOMEM);
  Napi::Object bound = Napi::Object::New(env);
  bound.Set("rows", Napi::Value(env, environment->buffer()));
  auto set = [&](const char* name, auto function) {
    bound.Set(name, Napi::Function::New(env, function, name, environment));
  };
  set("spawn", spawn_job);
  set("spawnNow", spawn_now);
  set("signalLeader", signal_leader);
  set("cancel", cancel);
  set("begin", begin);
  set("signal", signal);
  set("members", members);
  set("release", release);
  set("renew", renew);
  set("pause", pause);
  set("watchStops", watch_stops);
  set("holders", holders);
  set("attach", attach);
  set("payload", payload);
  set("ref", ref);
  set("unref", unref);
  set("watchPidfd", watch_pidfd);
  set("forgetPidfd", forget_pidfd);
  set("afterPoll", after_poll_bound);
  return bound;
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  static const bool remembered = (remember_started_limits(), true);
  (void)remembered;
  exports.Set("start", Napi::Function::New(env, start, "start"));
  exports.Set("probe", Napi::Function::New(env, probe, "probe"));
  exports.Set("settleClosed", Napi::Function::New(env, settle_closed, "settleClosed"));
  add_posix(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(procgroup, init)

}  // namespace procgroup
