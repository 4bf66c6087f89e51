// A spawn that has settled when it returns, for the drop-in of node:child_process. What libuv does and the engine's own
// spawn does not is put into the request here.
#include "sync_spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "engine.h"
#include "environment.h"
#include "request.h"

namespace procgroup {

// What a calling thread needs for a clone; kept for the next one.
struct Engine::Caller final : SpawnHooks {
  Engine* engine = nullptr;
  Job* job = nullptr;
  SpawnContext context;

  bool enter_clone(ChildPlan* plan) override {
    engine->lock();
    bool go = !job->cancelled;
    if (go) job->plan = plan;
    engine->unlock();
    return go;
  }

  void leave_clone() override {
    engine->lock();
    job->plan = nullptr;
    engine->unlock();
  }

  void wait_for_other_clones() override {}  // the pauses between two tries are all that a caller waits
};

struct Engine::Waiting {
  uint32_t environment;
  uint32_t ticket;
  bool told;
  Event event;
};

// Under the lock: true where the event is what a thread within spawn_now() waits for.
bool Engine::told_caller(uint32_t environment, Event* event) {
  if (event->row[0] > static_cast<double>(EventType::Failed)) return false;
  for (Waiting* waiting : waiting_) {
    if (waiting->told || waiting->environment != environment || waiting->ticket != event->row[1]) continue;
    waiting->event = std::move(*event);
    waiting->told = true;
    pthread_cond_broadcast(&told_);
    return true;
  }
  return false;
}

Event Engine::spawn_now(std::unique_ptr<Job> job) {
  Waiting waiting = {job->environment, job->ticket, false, {}};
  lock();
  waiting_.push_back(&waiting);
  unlock();
  if (job->tree || job->contain_group) {
    submit(std::move(job));
  } else {
    spawn_here(std::move(job));
  }
  lock();
  while (!waiting.told) pthread_cond_wait(&told_, &mutex_);
  std::erase(waiting_, &waiting);
  unlock();
  return std::move(waiting.event);
}

void Engine::spawn_here(std::unique_ptr<Job> job) {
  lock();
  Caller* caller = nullptr;
  if (!idle_callers_.empty()) {
    caller = idle_callers_.back();
    idle_callers_.pop_back();
  }
  running_.push_back(job.get());
  job->cancelled = shutting_down_;
  unlock();
  SpawnResult result;
  if (caller == nullptr) {
    caller = new Caller;
    caller->engine = this;
    caller->context.features = features_;
    caller->context.high_fd = high_fd_;
    if (allocate_child_stack(&caller->context.stack) < 0) result.error = make_error(ENOMEM, Stage::Clone, "mmap");
  }
  caller->job = job.get();
  if (!result.error.failed()) {
    // No handler of ours may run in the child.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    spawn(caller->context, job->request, *caller, &result);
    if (result.error.stage == Stage::Groups && result.error.err == EPERM) {  // as uv_spawn: an attempt
      job->request.group_count = -1;
      result.error = {};
      result.parent_ends.clear();
      spawn(caller->context, job->request, *caller, &result);
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  spawned(std::move(job), &result, &caller->context);
  lock();
  if (caller->context.stack.base != nullptr)
    idle_callers_.push_back(caller);
  else
    delete caller;
  unlock();
}

int Engine::signal_leader_of(uint64_t id, int sig) {
  lock();
  Group* group = supervisor_.find(id);
  int r = -ESRCH;
  if (group != nullptr && !group->ref.leader_exited) {
    // Without its pidfd the leader of a tree is signalled by its parent.
    bool by_parent = group->tree && !group->ref.pidfd.valid();
    r = by_parent ? -supervisor_.signal(*group, sig).err : signal_leader(group->ref, sig);
  }
  unlock();
  return r;
}

namespace {

// Our ends of the socket pairs, until JavaScript owns them.
struct OurEnds {
  std::vector<int> fds;
  ~OurEnds() { close_all(); }
  void close_all() {
    for (int fd : fds) {
      if (fd >= 0) close(fd);
    }
    fds.clear();
  }
};

// 0 or a negative errno.
int arrange_stdio(Job* job, OurEnds* ends) {
  Vec<StdioSpec>& stdio = job->request.stdio;
  for (size_t i = 0; i < stdio.size(); i++) {
    StdioSpec& spec = stdio[i];
    ends->fds.push_back(-1);
    switch (spec.kind) {
      case StdioKind::Pipe: {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return -errno;
        ends->fds.back() = pair[0];
        job->owned_fds.push_back(pair[1]);
        spec = {StdioKind::Descriptor, pair[1], nullptr, 0, 0};
        break;
      }
      case StdioKind::Ignore:
        if (i == 0) spec = {StdioKind::File, -1, "/dev/null", O_RDONLY, 0};
        if (i > 2 && !job->tree) spec.kind = StdioKind::Absent;
        break;
      case StdioKind::Descriptor:
      case StdioKind::File:
      case StdioKind::Absent:
        break;
    }
  }
  return 0;
}

int arrange_identity(Job* job, const Napi::Value& uid, const Napi::Value& gid) {
  SpawnRequest& request = job->request;
  bool given = false;
  for (auto [value, slot] : {std::pair{uid, &request.uid}, std::pair{gid, &request.gid}}) {
    if (!value.IsNumber()) continue;
    given = true;
    *slot = value.As<Napi::Number>().Int32Value();
    if (*slot == -1) return -EINVAL;  // what setuid(2) answers to it
  }
  if (given) request.group_count = 0;
  request.chdir_first = true;
  return 0;
}

Napi::Value answer(Napi::Env env, int error, const Event& event, OurEnds* ends) {
  const double* row = event.row;
  bool refused = error != 0;
  bool failed = refused || static_cast<EventType>(static_cast<int>(row[0])) == EventType::Failed;
  bool killed = row[2] == 0;  // before exec
  if (!refused && failed) error = killed ? -EAGAIN : -static_cast<int>(row[2]);
  double stage = failed && !refused ? row[3] : 0;
  // ChildProcess opens no stream then.
  if (refused || error == -EMFILE || error == -ENFILE) ends->close_all();
  Napi::Array result = Napi::Array::New(env, 6);
  double numbers[] = {static_cast<double>(error), failed ? 0 : row[2], failed ? 0 : row[3], failed ? 0 : row[9], stage};
  for (uint32_t i = 0; i < 5; i++) result.Set(i, Napi::Number::New(env, numbers[i]));
  Napi::Array fds = Napi::Array::New(env, ends->fds.size());
  for (uint32_t i = 0; i < ends->fds.size(); i++) fds.Set(i, Napi::Number::New(env, ends->fds[i]));
  result.Set(5u, fds);
  ends->fds.clear();
  return result;
}

}  // namespace

Napi::Value spawn_now_call(const Napi::CallbackInfo& info, Environment* environment) {
  std::unique_ptr<Job> job = read_job(info, environment->id(), true);
  int argc = info[10].As<Napi::Number>().Int32Value();
  int envc = info[11].As<Napi::Number>().Int32Value();
  SpawnRequest& request = job->request;
  if (!job->tree) {                        // whose words are the guardian's
    if (argc == 1 && request.argc == 0) {  // one empty word
      job->argv.assign({job->argv_block.data(), nullptr});
      request.argv = job->argv.data();
      request.argc = 1;
    }
    bool env_cut = envc >= 0 && static_cast<int>(job->envp.size()) - 1 != envc;
    if (request.argc != argc || env_cut) return info.Env().Null();
  }
  while (!request.rlimits.empty() && request.rlimits.back().keep_hard) request.rlimits.pop();
  request.leave_high = true;
  request.keep_ignored = ~uint64_t{0} << 31;  // real-time signals are left alone
  OurEnds ends;
  int error = job->tree ? 0 : arrange_identity(job.get(), info[12], info[13]);
  if (error == 0) error = arrange_stdio(job.get(), &ends);
  Event event;
  if (error == 0) event = Engine::peek()->spawn_now(std::move(job));
  // A worker may be terminated before its JavaScript owns them. Those of the call before are owned by now.
  environment->clear_handed();
  environment->hand_over(ends.fds);
  return answer(info.Env(), error, event, &ends);
}

}  // namespace procgroup
