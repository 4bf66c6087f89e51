// What the supervisor tells the engine, as events of the Environment that owns the group; and the privileged killer.
#include <string.h>

#include <algorithm>

#include "engine.h"
#include "environment.h"

namespace procgroup {
namespace {

Event make_event(EventType type, const Group& group) {
  Event event;
  event.row[0] = static_cast<double>(type);
  event.row[1] = group.ticket;
  return event;
}

// Names as kill(1) takes them after -s.
const char* signal_name(int sig) {
  static const char* const names[] = {"0",      "HUP",  "INT",    "QUIT", "ILL",   "TRAP", "ABRT", "BUS",
                                      "FPE",    "KILL", "USR1",   "SEGV", "USR2",  "PIPE", "ALRM", "TERM",
                                      "STKFLT", "CHLD", "CONT",   "STOP", "TSTP",  "TTIN", "TTOU", "URG",
                                      "XCPU",   "XFSZ", "VTALRM", "PROF", "WINCH", "IO",   "PWR",  "SYS"};
  return names[sig & 31];
}

}  // namespace

void Engine::on_leader_exit(Group& group) {
  if (group.starting) return;  // a spawn that has not settled
  Event event = make_event(EventType::Exit, group);
  const WaitStatus& exit = group.exit;
  bool exact = group.exit_kind == ExitStatusKind::Exact;
  event.row[2] = exact ? exit.code : -1;
  event.row[3] = exact ? exit.signal : 0;
  event.row[4] = exit.core_dumped | group.limits_hit << 1;
  event.row[5] = static_cast<double>(group.exit_kind);
  const Usage& usage = exit.usage;
  event.row[6] = exact && usage.maxrss_kib != 0;
  const int64_t columns[] = {usage.user_us, usage.system_us, usage.maxrss_kib, usage.minflt, usage.majflt,
                             usage.inblock, usage.oublock,   usage.nvcsw,      usage.nivcsw};
  for (int i = 0; i < 9; i++) event.row[7 + i] = static_cast<double>(columns[i]);
  post(group.owner, std::move(event));
}

void Engine::on_draining(Group& group) {
  if (group.starting) return;
  Event event = make_event(EventType::Draining, group);
  event.row[2] = static_cast<double>(group.report.cause);
  post(group.owner, std::move(event));
}

void Engine::on_gone(Group& group) {
  if (group.starting) return on_failed(group, group.failure);
  uint64_t id = group.id();
  std::erase_if(killers_, [&](auto& entry) { return entry.first == id; });
  if (group.cancelled_owner != 0) {
    return post_failed(group.cancelled_owner, group.ticket, make_error(ECANCELED, Stage::Clone, "clone"));
  }
  const Report& report = group.report;
  Event event = make_event(EventType::Gone, group);
  event.row[2] = report.empty;
  event.row[3] = static_cast<double>(report.cause);
  event.row[4] = static_cast<double>(report.evidence);
  event.row[5] = report.notes;
  event.row[6] = static_cast<double>(report.duration_ns) / 1e6;
  if (!report.steps.empty() || !report.survivors.empty() || !report.usage.empty()) {
    event.payload = std::make_unique<Payload>();
    event.payload->steps.assign(report.steps.begin(), report.steps.end());
    event.payload->survivors.assign(report.survivors.begin(), report.survivors.end());
    event.payload->usage.assign(report.usage.begin(), report.usage.end());
  }
  post(group.owner, std::move(event));
}

void Engine::on_members(Group& group) {
  Event event = make_event(EventType::Members, group);
  event.payload = std::make_unique<Payload>();
  event.payload->members.assign(group.found.begin(), group.found.end());
  post(group.owner, std::move(event));
}

// `command... -s TERM -- pid pid...`: a name after -s is what every kill program takes, sudo's own rules included.
bool Engine::start_killer(Group& group, int signal, const Vec<pid_t>& pids) {
  uint64_t id = group.id();
  auto found = std::find_if(killers_.begin(), killers_.end(), [&](auto& entry) { return entry.first == id; });
  if (found == killers_.end()) return false;
  auto job = std::make_unique<Job>();
  std::vector<std::string> words = found->second->command;
  words.insert(words.end(), {"-s", signal_name(signal), "--"});
  for (pid_t pid : pids) words.push_back(std::to_string(pid));
  for (const std::string& word : words) job->argv_block.append(word).push_back('\0');
  char* at = job->argv_block.data();
  for (const std::string& word : words) {
    job->argv.push_back(at);
    at += word.size() + 1;
  }
  job->argv.push_back(nullptr);
  job->file = words[0];
  for (const std::string& line : found->second->environment) job->env_block.append(line).push_back('\0');
  for (size_t i = 0; i < job->env_block.size(); i += strlen(&job->env_block[i]) + 1) {
    job->envp.push_back(&job->env_block[i]);
  }
  job->envp.push_back(nullptr);
  job->request.file = job->file.c_str();
  job->request.argv = job->argv.data();
  job->request.argc = static_cast<int>(words.size());
  job->request.envp = job->envp.data();
  for (int fd = 0; fd < 3; fd++) job->request.stdio.push({StdioKind::Ignore, -1, nullptr, 0, 0});
  job->contain_group = false;
  job->options.timeout_ns = found->second->timeout_ns;
  job->options.kill_wait_ns = 1'000'000'000;
  job->killer_for = id;
  job->killer_signal = signal;
  jobs_.push_back(std::move(job));
  grow_spawners();
  pthread_cond_signal(&jobs_ready_);
  return true;
}

}  // namespace procgroup
