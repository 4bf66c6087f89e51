#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "cli_fds.h"
#include "core/kernel.h"
#include "core/spawn.h"

namespace procgroup {
namespace {

constexpr int kStuckMs = 2000;

// Cause (without None), Evidence, Target, Note (by bit), Stage and Scope, in their order; the names are those of lib/.
constexpr char kCauses[] = "stop,abort,timeout,dispose,exit,lease,guardian";
constexpr char kEvidence[] = "esrch,census,leader,unverified,echild,populated,namespace";
constexpr char kTargets[] = "gone,group,leader,members,killer";
constexpr char kNotes[] =
    "leader-signalled-alone,numeric-pids,pin-lost,killer-failed,killer-timeout,proc-unreadable,guardian-lost,"
    "guardian-refused,cgroup-left";
constexpr char kStages[] =
    "none,lookup,stdio,clone,fd-table,signals,setsid,setpgid,placement,foreground,parent-death,umask,nice,oom-score,"
    "chdir,descriptors,stray-fds,rlimit,signal-mask,exec,register,groups,setgid,setuid,guardian,cgroup,namespace";
constexpr char kScopes[] = "leader,group,tree,cgroup,namespace";

// The name at `index` of a list, in quotes.
template <typename Index>
Text& add_name(Text& json, const char* names, Index index) {
  for (int left = static_cast<int>(index); left > 0; names++) left -= *names == ',';
  return json.add("\"").add(names, static_cast<size_t>(strchrnul(names, ',') - names)).add("\"");
}

Text& key(Text& json, const char* name, bool first = false) {
  return json.add(first ? "\"" : ",\"").add(name).add("\":");
}

void error_or_null(Text& json, int err) {
  if (err == 0) {
    json.add("null");
  } else {
    add_errno(json.add("\""), err).add("\"");
  }
}

void add_survivor(Text& json, const SurvivorRecord& survivor) {
  const ProcStat& stat = survivor.stat;
  char state[] = {stat.state, 0};
  key(json.add("{"), "pid", true).add(stat.pid);
  key(json, "ppid").add(stat.ppid);
  key(json, "pgid").add(stat.pgid);
  key(json, "sid").add(stat.sid);
  key(json, "state").json(state);
  key(json, "comm").json(stat.comm);
  key(json, "wchan").json(survivor.wchan);
  error_or_null(key(json, "error"), survivor.err);
  key(json, "heldByTracer").json(survivor.held_by_tracer != 0);
  json.add("}");
}

void add_step(Text& json, const StepRecord& step) {
  add_signal(key(json.add("{"), "signal", true).add("\""), step.signal).add("\"");
  key(json, "atMs").milliseconds(step.at_ns);
  add_name(key(json, "target"), kTargets, step.target);
  error_or_null(key(json, "error"), step.err);
  json.add("}");
}

void add_limits_hit(Text& json, uint32_t hit) {
  json.add("[");
  if (hit & kHitMemory) json.add("\"memory\"");
  if (hit & kHitPids) json.add(hit & kHitMemory ? ",\"pids\"" : "\"pids\"");
  json.add("]");
}

void add_usage(Text& json, const Vec<int64_t>& usage) {
  if (usage.empty()) {
    json.add("null");
    return;
  }
  static constexpr const char* names[] = {"memoryBytes", "memoryPeakBytes", "pids",        "pidsPeak",
                                          "userCPUTime", "systemCPUTime",   "ioReadBytes", "ioWriteBytes",
                                          "oomKills",    "pidsRefused"};
  json.add("{");
  for (size_t i = 0; i < kUsageNumbers; i++) {
    key(json, names[i], i == 0);
    if (usage[i] < 0)
      json.add("null");
    else
      json.add(usage[i]);
  }
  json.add("}");
}

void add_exit(Text& json, const WaitStatus& exit, uint32_t limits_hit) {
  if (!exit.ready) {
    json.add("null");
    return;
  }
  key(json.add("{"), "code", true);
  if (exit.signal == 0) {
    json.add(exit.code);
    key(json, "signal").add("null");
  } else {
    add_signal(key(json.add("null"), "signal").add("\""), exit.signal).add("\"");
  }
  key(json, "coreDumped").json(exit.core_dumped);
  const Usage& used = exit.usage;
  const struct {
    const char* name;
    int64_t value;
  } fields[] = {{"userCPUTime", used.user_us},
                {"systemCPUTime", used.system_us},
                {"maxRSS", used.maxrss_kib},
                {"minorPageFault", used.minflt},
                {"majorPageFault", used.majflt},
                {"fsRead", used.inblock},
                {"fsWrite", used.oublock},
                {"voluntaryContextSwitches", used.nvcsw},
                {"involuntaryContextSwitches", used.nivcsw}};
  key(json, "resourceUsage").add("{");
  for (const auto& field : fields) key(json, field.name, &field == fields).add(field.value);
  add_limits_hit(key(json.add("}"), "status").add("\"exact\",\"limitsHit\":"), limits_hit);
  json.add("}");
}

void add_command(Text& json, const RunEnd& end, bool first) {
  key(json, "command", first).add("[");
  for (int i = 0; i < end.options->command_count; i++) json.add(i == 0 ? "" : ",").json(end.options->command[i]);
  json.add("]");
}

// The descriptor that `path` is another name of, or -1.
int named_descriptor(const char* path) {
  static constexpr char directory[] = "/dev/fd/";
  if (strcmp(path, "/dev/stdout") == 0) return STDOUT_FILENO;
  if (strcmp(path, "/dev/stderr") == 0) return STDERR_FILENO;
  if (strncmp(path, directory, sizeof directory - 1) != 0) return -1;
  return parse_number(path + sizeof directory - 1);
}

}  // namespace

int ReportFile::open_again() {
  // Non-blocking: a FIFO without a reader must not stop this process.
  fd_.reset(move_high(::open(path_, O_WRONLY | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0666), high_fd_));
  int err = fd_.valid() ? 0 : errno;
  int named = named_descriptor(path_);
  // A file is written through the same open one, after what the command has written. A socket cannot be opened by name,
  // and without /proc nothing can that way.
  append_ = named >= 0 && (err != 0 || lseek(named, 0, SEEK_CUR) >= 0);
  if (!append_) return err;
  fd_.reset(duplicate(named, high_fd_));
  return fd_.valid() ? 0 : errno;
}

int ReportFile::open(const char* path, int high_fd) {
  path_ = path;
  high_fd_ = high_fd;
  int err = open_again();
  return err == ENXIO ? 0 : err;
}

int ReportFile::write_all(const Text& report) {
  // An older, longer report must not show through. A pipe or a device cannot be cut.
  if (!append_ && ftruncate(fd_.get(), 0) != 0 && errno != EINVAL) return errno;
  // What polls as writable takes this much without blocking, also where it is the command's own, blocking one.
  constexpr size_t chunk = 4096;
  uint64_t end = now_ns() + uint64_t{kStuckMs} * 1'000'000;
  for (size_t at = 0; at < report.size();) {
    struct pollfd polled = {fd_.get(), POLLOUT, 0};
    if (now_ns() > end || poll(&polled, 1, kStuckMs) == 0) return EAGAIN;
    size_t left = report.size() - at;
    ssize_t n = ::write(fd_.get(), report.data() + at, left < chunk ? left : chunk);
    if (n < 0 && errno != EAGAIN) return errno;
    if (n > 0) at += static_cast<size_t>(n);
  }
  return 0;
}

void ReportFile::write(const Text& report) {
  int err = fd_.valid() ? 0 : open_again();
  if (err == 0) err = write_all(report);
  fd_.reset();
  if (err == 0) return;
  Text text;
  text.add("the report was not written to ").printable(path_).add(": ");
  if (err == ENXIO)
    text.add("nobody reads it");
  else
    add_errno(text, err);
  warn(text);
}

Text report_of(const RunEnd& end, const Report& report) {
  Text json;
  key(json.add("{"), "empty", true).json(report.empty);
  key(json, "cause");
  if (report.cause == Cause::None)
    json.add("null");
  else
    add_name(json, kCauses, static_cast<int>(report.cause) - 1);
  add_name(key(json, "evidence"), kEvidence, report.evidence);
  add_name(key(json, "covers"), kScopes,
           static_cast<int>(end.options->scope) + static_cast<int>(end.options->containment));
  key(json, "survivors").add("[");
  for (const SurvivorRecord& survivor : report.survivors) {
    add_survivor(json.add(&survivor == report.survivors.begin() ? "" : ","), survivor);
  }
  key(json.add("]"), "steps").add("[");
  for (const StepRecord& step : report.steps) add_step(json.add(&step == report.steps.begin() ? "" : ","), step);
  key(json.add("]"), "durationMs").milliseconds(report.duration_ns);
  key(json, "notes").add("[");
  bool first = true;
  for (int bit = 0; report.notes >> bit != 0; bit++) {
    if (!(report.notes >> bit & 1)) continue;
    add_name(json.add(first ? "" : ","), kNotes, bit);
    first = false;
  }
  add_usage(key(json.add("]"), "usage"), report.usage);
  add_command(json, end, false);
  key(json, "pid").add(end.pid);
  key(json, "pgid").add(end.pgid);
  add_exit(key(json, "exit"), *end.exit, end.limits_hit);
  key(json, "exitStatus").add(end.status);
  json.add("}\n");
  return json;
}

Text report_of(const RunEnd& end, const Error& error) {
  Text json;
  add_command(json.add("{"), end, true);
  key(json, "error").add("{");
  if (error.err != 0) {
    add_errno(key(json, "code", true).add("\""), error.err).add("\"");
    key(json, "errno").add(-error.err);
  } else {
    key(json, "code", true).add("\"ERR_KILLED_BEFORE_EXEC\"");
  }
  key(json, "syscall").json(error.syscall);
  add_name(key(json, "stage"), kStages, error.stage);
  key(json, "path").json(end.options->command[0]);
  key(json.add("}"), "exitStatus").add(end.status);
  json.add("}\n");
  return json;
}

}  // namespace procgroup
