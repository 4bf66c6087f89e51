#include "request.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cmath>

#include "carried.h"

namespace procgroup {
namespace {

rlim_t g_started_nofile = RLIM_INFINITY;  // RLIM_INFINITY: not known, nothing is restored

std::string to_string(const Napi::Value& value) {
  return value.IsString() ? value.As<Napi::String>().Utf8Value() : std::string();
}

// "a\0b\0" -> {a, b, nullptr}, pointing into `block`.
void split(std::string* block, std::vector<char*>* out) {
  if (!block->empty()) block->push_back('\0');
  for (size_t i = 0; i < block->size(); i += strlen(&(*block)[i]) + 1) out->push_back(&(*block)[i]);
  out->push_back(nullptr);
}

// With two allocations, however many variables there are.
void copy_environment(std::string* block, std::vector<char*>* out) {
  size_t count = 0, bytes = 0;
  for (char** e = environ; e != nullptr && *e != nullptr; e++) count++, bytes += strlen(*e) + 1;
  block->reserve(bytes);
  for (size_t i = 0; i < count; i++) block->append(environ[i], strlen(environ[i]) + 1);
  out->reserve(count + 2);  // and a guardian's mark
  for (size_t i = 0; i < block->size(); i += strlen(&(*block)[i]) + 1) out->push_back(&(*block)[i]);
  out->push_back(nullptr);
}

int or_unset(double value) { return std::isnan(value) ? kUnset : static_cast<int>(value); }

uint64_t to_limit(double value) { return std::isinf(value) ? RLIM_INFINITY : static_cast<uint64_t>(value); }

struct Identity {
  int uid = -1, gid = -1, group_count = -1;
  uint32_t groups[kMaxGroups];
};

// Turns a request for the command into one for its guardian: what concerns the command goes into the guardian's orders,
// its words and environment are the guardian's own.
void make_tree(Job* job, Containment containment, const Identity& identity, Napi::Value guardian) {
  SpawnRequest& request = job->request;
  job->tree = std::make_unique<Config>();
  Config& config = *job->tree;
  config.isolation = static_cast<int32_t>(request.isolation);
  config.inherit_pgid = getpgrp();
  config.foreground = request.foreground;
  config.close_strays = request.close_strays;
  config.parent_death_signal = request.parent_death_signal;
  config.stdio_count = static_cast<int32_t>(request.stdio.size());
  config.umask = request.umask, config.nice = request.nice, config.oom_score_adj = request.oom_score_adj;
  config.uid = identity.uid, config.gid = identity.gid, config.group_count = identity.group_count;
  for (int i = 0; i < identity.group_count; i++) config.groups[i] = identity.groups[i];
  config.step_count = static_cast<int32_t>(job->options.ladder.size());
  for (int i = 0; i < config.step_count; i++) config.steps[i] = job->options.ladder[static_cast<size_t>(i)];
  config.rlimit_count = static_cast<int32_t>(request.rlimits.size());
  for (int i = 0; i < config.rlimit_count; i++) config.rlimits[i] = request.rlimits[static_cast<size_t>(i)];
  // The guardian of a namespace knows the numbers inside, and needs no help.
  config.killer = job->options.killer && containment != Containment::Namespace;
  config.containment = static_cast<int32_t>(containment);
  config.kill_wait_ns = job->options.kill_wait_ns;
  config.timeout_ns = job->options.timeout_ns;

  static std::atomic<uint32_t> trees{0};
  job->mark = "PROCGROUP_TREE=" + std::to_string(getpid()) + "." + std::to_string(now_ns() & 0xffffffffff) + "." +
              std::to_string(++trees);
  std::erase_if(job->envp, [](char* line) { return line == nullptr || strncmp(line, "PROCGROUP_TREE=", 15) == 0; });
  job->envp.push_back(job->mark.data());
  job->envp.push_back(nullptr);
  job->guardian_path = to_string(guardian);
  job->guard_word = "--guard=" + std::to_string(config.stdio_count) + "," + std::to_string(config.stdio_count + 1);
  std::vector<char*> words = {const_cast<char*>("procgroup-guardian"), job->guard_word.data(), job->file.data(),
                              job->cwd.data()};
  words.insert(words.end(), job->argv.begin(), job->argv.end());
  job->argv.swap(words);

  request.file = job->guardian_path.c_str();
  if (job->guardian_path.empty()) request.program_fd = carried_guardian();  // made before: lib/guardian-path.ts
  request.argv = job->argv.data();
  request.argc = static_cast<int>(job->argv.size()) - 1;
  request.envp = job->envp.data();
  request.script = false;  // a guardian that is no executable is a damaged one
  request.cwd = nullptr;
  request.isolation = Isolation::Inherit;
  request.foreground = false;
  request.parent_death_signal = 0;
  request.umask = request.nice = request.oom_score_adj = kUnset;
  request.rlimits.clear();
  request.signal_mask = ~uint64_t{0};
}

}  // namespace

uint64_t to_ns(double ms) {
  if (!(ms > 0)) return 0;
  return ms >= 1e12 ? UINT64_MAX / 4 : static_cast<uint64_t>(ms * 1e6);
}

// Nothing in this process says what Node started with. Its parent's soft limit is what it inherited, unless somebody
// in between changed it; where the hard limits differ somebody did, and nothing is restored.
void remember_started_limits() {
  struct rlimit ours, parents;
  if (getrlimit(RLIMIT_NOFILE, &ours) != 0 || ours.rlim_cur != ours.rlim_max) return;
  if (syscall(SYS_prlimit64, getppid(), RLIMIT_NOFILE, nullptr, &parents) != 0) {
    char path[40], line[160];
    snprintf(path, sizeof path, "/proc/%d/limits", getppid());
    FILE* file = fopen(path, "re");
    if (file == nullptr) return;
    bool found = false;
    unsigned long long soft, hard;
    while (!found && fgets(line, sizeof line, file) != nullptr) {
      found = sscanf(line, "Max open files %llu %llu", &soft, &hard) == 2;
    }
    fclose(file);
    if (!found) return;
    parents.rlim_cur = soft;
    parents.rlim_max = hard;
  }
  if (parents.rlim_max == ours.rlim_max && parents.rlim_cur < ours.rlim_cur) g_started_nofile = parents.rlim_cur;
}

void read_teardown(const double* numbers, size_t* at, GroupOptions* options, uint64_t* killer_timeout_ns) {
  options->kill_wait_ns = to_ns(numbers[(*at)++]);
  options->exit_grace_ns = to_ns(numbers[(*at)++]);
  *killer_timeout_ns = to_ns(numbers[(*at)++]);
  size_t steps = static_cast<size_t>(numbers[(*at)++]);
  for (size_t i = 0; i < steps; i++, *at += 2) {
    options->ladder.push({static_cast<int32_t>(numbers[*at]), to_ns(numbers[*at + 1])});
  }
}

std::shared_ptr<const Killer> read_killer(Napi::Value value, uint64_t timeout_ns) {
  if (!value.IsArray()) return nullptr;  // [command, environment]
  auto killer = std::make_shared<Killer>();
  auto read = [&](uint32_t i, std::vector<std::string>* out) {
    std::string block = to_string(value.As<Napi::Array>().Get(i));
    std::vector<char*> lines;
    split(&block, &lines);
    for (char* line : lines) {
      if (line != nullptr) out->emplace_back(line);
    }
  };
  read(0, &killer->command);
  read(1, &killer->environment);
  killer->timeout_ns = timeout_ns;
  return killer;
}

namespace {

// What a command has as 0, 1 or 2 it expects to be blocking. The flag is of the open file, which we share.
void make_blocking(int fd) {
  int flags = fcntl(fd, F_GETFL);
  if (flags >= 0 && (flags & O_NONBLOCK)) fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
}

}  // namespace

std::unique_ptr<Job> read_job(const Napi::CallbackInfo& info, uint32_t environment, bool awaited) {
  auto job = std::make_unique<Job>();
  job->environment = environment;
  job->ticket = info[0].As<Napi::Number>().Uint32Value();
  job->file = to_string(info[1]);
  job->argv_block = to_string(info[2]);
  split(&job->argv_block, &job->argv);
  if (info[3].IsString()) {
    job->env_block = to_string(info[3]);
    split(&job->env_block, &job->envp);
  } else {  // the process's own: on the main thread process.env writes through to it
    copy_environment(&job->env_block, &job->envp);
  }
  SpawnRequest& request = job->request;
  request.file = job->file.c_str();
  request.argv = job->argv.data();
  request.argc = static_cast<int>(job->argv.size()) - 1;
  request.envp = job->envp.data();
  if (info[4].IsString()) {
    job->cwd = to_string(info[4]);
    request.cwd = job->cwd.c_str();
  }
  std::vector<char*> paths;
  job->path_block = to_string(info[5]);
  split(&job->path_block, &paths);

  const double* n = info[7].As<Napi::Float64Array>().Data();
  size_t at = 0;
  request.isolation = static_cast<Isolation>(static_cast<int>(n[at++]));
  int containment = static_cast<int>(n[at++]);
  job->contain_group = containment == 1;
  request.foreground = n[at++] != 0;
  request.close_strays = n[at++] != 0;
  job->held = n[at++] != 0;
  request.parent_death_signal = static_cast<int>(n[at++]);
  request.umask = or_unset(n[at++]);
  request.nice = or_unset(n[at++]);
  request.oom_score_adj = or_unset(n[at++]);
  job->options.timeout_ns = to_ns(n[at++]);
  job->options.lease_ns = to_ns(n[at++]);
  uint64_t killer_timeout = 0;
  read_teardown(n, &at, &job->options, &killer_timeout);
  job->killer = read_killer(info[6], killer_timeout);
  job->options.killer = job->killer != nullptr;

  size_t entries = static_cast<size_t>(n[at++]);
  size_t next_path = 0;
  for (size_t i = 0; i < entries; i++, at += 4) {
    StdioSpec spec = {static_cast<StdioKind>(static_cast<int>(n[at])), static_cast<int>(n[at + 1]), nullptr,
                      static_cast<int>(n[at + 2]), static_cast<int>(n[at + 3])};
    if (spec.kind == StdioKind::File) spec.path = paths[next_path++];
    if (spec.kind == StdioKind::Descriptor && i <= 2) make_blocking(spec.fd);
    if (spec.kind == StdioKind::Descriptor && spec.fd > 2 && !awaited) {
      // A copy: the caller may close its descriptor as soon as this call returns, and the number may be another file's
      // by the time of the clone. What refuses it, as an errno below zero, is told by the spawn.
      int copy = fcntl(spec.fd, F_DUPFD_CLOEXEC, 3);
      spec.fd = copy >= 0 ? copy : -errno;
      if (copy >= 0) job->owned_fds.push_back(copy);
    }
    request.stdio.push(spec);
  }
  if (!awaited) {
    // The caller may have gone elsewhere by the time of the clone. Where the table is full the spawn itself is refused.
    // After the copies: a descriptor that is named and not open must not turn out to be this one.
    Fd here(open(".", O_PATH | O_DIRECTORY | O_CLOEXEC));
    request.cwd_fd = here.get() > 2 ? here.release() : fcntl(here.get(), F_DUPFD_CLOEXEC, 3);
    if (request.cwd_fd >= 0) job->owned_fds.push_back(request.cwd_fd);
  }
  size_t limits = static_cast<size_t>(n[at++]);
  bool nofile_given = false;
  for (size_t i = 0; i < limits; i++, at += 3) {
    request.rlimits.push({static_cast<int32_t>(n[at]), 0, to_limit(n[at + 1]), to_limit(n[at + 2])});
    nofile_given |= static_cast<int>(n[at]) == RLIMIT_NOFILE;
  }
  // uid, gid, the number of groups (-1: leave), the groups.
  Identity identity;
  identity.uid = static_cast<int>(n[at++]);
  identity.gid = static_cast<int>(n[at++]);
  identity.group_count = static_cast<int>(n[at++]);
  for (int i = 0; i < identity.group_count; i++) identity.groups[i] = static_cast<uint32_t>(n[at++]);
  if (containment >= 2) make_tree(job.get(), static_cast<Containment>(containment - 2), identity, info[8]);
  if (info[9].IsArray()) {  // [parent, limits]
    Napi::Array cgroup = info[9].As<Napi::Array>();
    job->cgroup_parent = to_string(cgroup.Get(0u));
    job->limit_block = to_string(cgroup.Get(1u));
    job->move_supervisor = cgroup.Get(2u).ToBoolean().Value();
  }
  if (!nofile_given && g_started_nofile != RLIM_INFINITY) {
    request.rlimits.push({RLIMIT_NOFILE, 1, g_started_nofile, 0});
  }
  return job;
}

}  // namespace procgroup
