#include "options.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "cli_text.h"

#ifndef PROCGROUP_VERSION
#define PROCGROUP_VERSION "unknown"
#endif

namespace procgroup {
namespace {

constexpr int kFailed = 125;
constexpr uint64_t kMillisecond = 1'000'000;
constexpr uint64_t kLongest = 0x7fffffff * kMillisecond;  // 24 days, as everywhere in procgroup

enum class Option : uint8_t {
  Isolation,
  Containment,
  CgroupParent,
  Limit,
  Teardown,
  Timeout,
  Rewrite,
  Report,
  Help,
  Version
};
constexpr struct {
  char name[16];
  Option option;
} kOptions[] = {
    {"isolation", Option::Isolation}, {"containment", Option::Containment}, {"cgroup-parent", Option::CgroupParent},
    {"limit", Option::Limit},         {"teardown", Option::Teardown},       {"timeout", Option::Timeout},
    {"rewrite", Option::Rewrite},     {"report", Option::Report},           {"help", Option::Help},
    {"version", Option::Version}};

bool refuse(Text& text) {
  text.add(" (").add(program_name()).add(" --help)");
  warn(text);
  return false;
}

bool refuse(const char* value, size_t length, const char* why) {
  Text quoted, text;
  quoted.add(value, length).add("", 1);
  return refuse(text.add("'").printable(quoted.data()).add("' ").add(why));
}

// '250ms', '5s', '1.5m', '1h', or a plain number of seconds as timeout(1) takes it.
bool parse_duration(const char* text, size_t length, uint64_t* ns) {
  static constexpr struct {
    char name[3];
    uint64_t ns;
  } units[] = {
      {"ms", kMillisecond}, {"s", 1000 * kMillisecond}, {"m", 60'000 * kMillisecond}, {"h", 3'600'000 * kMillisecond}};
  uint64_t whole = 0, part = 0, scale = 1;
  bool digit = false, point = false;
  size_t at = 0;
  for (; at < length && (text[at] == '.' ? !point : text[at] >= '0' && text[at] <= '9'); at++) {
    if (text[at] == '.') {
      point = true;
      continue;
    }
    digit = true;
    uint64_t value = static_cast<uint64_t>(text[at] - '0');
    if (!point)
      whole = whole > kLongest ? whole : whole * 10 + value;
    else if (scale < 1'000'000)
      part = part * 10 + value, scale *= 10;
  }
  uint64_t unit = at == length ? 1000 * kMillisecond : 0;
  for (const auto& entry : units) {
    if (strlen(entry.name) == length - at && memcmp(entry.name, text + at, length - at) == 0) unit = entry.ns;
  }
  if (!digit || unit == 0) return refuse(text, length, "is not a duration: use a number and ms, s, m or h");
  if (whole > kLongest / unit) return refuse(text, length, "is longer than 24 days");
  *ns = whole * unit + part * unit / scale;
  return true;
}

bool parse_named_signal(const char* text, size_t length, int* sig) {
  *sig = parse_signal(text, length);
  return *sig != 0 || refuse(text, length, "is not a signal");
}

// 'TERM:5s,INT:2s'; the empty string is the empty ladder, which goes straight to SIGKILL.
bool parse_ladder(const char* text, Options* options) {
  options->step_count = 0;
  for (bool more = *text != 0; more;) {
    const char* end = strchrnul(text, ',');
    const char* colon = static_cast<const char*>(memchr(text, ':', static_cast<size_t>(end - text)));
    size_t length = static_cast<size_t>(end - text);
    if (colon == nullptr) {
      return refuse(text, length, "is not a step of a teardown: use SIGNAL:DURATION, for instance TERM:5s");
    }
    if (options->step_count == kMaxSteps)
      return refuse(text, length, "is one step too many: a teardown has at most 16");
    LadderStep* step = &options->steps[options->step_count++];
    if (!parse_named_signal(text, static_cast<size_t>(colon - text), &step->signal)) return false;
    if (!parse_duration(colon + 1, static_cast<size_t>(end - colon - 1), &step->grace_ns)) return false;
    more = *end != 0;
    text = end + 1;
  }
  return true;
}

// 'TERM:QUIT' rewrites, 'TERM:' drops. The last one for a signal counts.
bool parse_rewrite(const char* text, Options* options) {
  const char* colon = strchr(text, ':');
  if (colon == nullptr) {
    return refuse(text, strlen(text), "is not a rewrite: use FROM:TO, or FROM: to drop the signal");
  }
  int from, to = 0;
  if (!parse_named_signal(text, static_cast<size_t>(colon - text), &from)) return false;
  if (never_forwarded(from)) {
    Text refusal;
    return refuse(add_signal(refusal, from).add(" is never forwarded, so it cannot be rewritten"));
  }
  if (colon[1] != 0 && !parse_named_signal(colon + 1, strlen(colon + 1), &to)) return false;
  options->rewrite[from] = static_cast<uint8_t>(to);
  return true;
}

// 'memory.max=1G': a file of the leaf, and what is written to it. The words are taken apart where they stand.
bool parse_limit(const char* text, Options* options) {
  char* equals = const_cast<char*>(strchr(text, '='));
  // What is no limit moves processes, us among them, or is the containment's own.
  bool other = strncmp(text, "cgroup.", 7) == 0 && strncmp(text + 7, "max.", 4) != 0;
  if (other || equals == nullptr || equals == text ||
      memchr(text, '/', static_cast<size_t>(equals - text)) != nullptr) {
    return refuse(text, strlen(text), "is not a limit: use FILE=VALUE, for instance memory.max=1G");
  }
  *equals = 0;
  options->limits.push(text);
  options->limits.push(equals + 1);
  return true;
}

// The index of `value` among `count` choices.
bool parse_choice(const char* option, const char* value, const char* const* choices, int count, int* chosen) {
  Text refusal;
  refusal.add("--").add(option).add(" takes ");
  for (*chosen = 0; *chosen < count; ++*chosen) {
    if (strcmp(choices[*chosen], value) == 0) return true;
    refusal.add(choices[*chosen]).add(", ");
  }
  return refuse(refusal.add("not '").printable(value).add("'"));
}

bool parse_value(Option option, const char* value, Options* options) {
  static const char* const isolations[] = {"inherit", "group", "session"};
  static const char* const scopes[] = {"leader", "group", "tree", "cgroup", "namespace"};
  constexpr int tree = static_cast<int>(Scope::Tree);
  int chosen;
  switch (option) {
    case Option::Isolation:
      if (!parse_choice("isolation", value, isolations, 3, &chosen)) return false;
      options->isolation = static_cast<Isolation>(chosen);
      return true;
    case Option::Containment:
      if (!parse_choice("containment", value, scopes, 5, &chosen)) return false;
      options->scope = static_cast<Scope>(chosen < tree ? chosen : tree);
      options->containment = static_cast<Containment>(chosen < tree ? 0 : chosen - tree);
      return true;
    case Option::CgroupParent:
      options->cgroup_parent = value;
      return *value != 0 || refuse(value, 0, "is not a directory");
    case Option::Limit:
      return parse_limit(value, options);
    case Option::Teardown:
      return parse_ladder(value, options);
    case Option::Timeout:
      return parse_duration(value, strlen(value), &options->timeout_ns);
    case Option::Rewrite:
      return parse_rewrite(value, options);
    case Option::Report:
      options->report = value;
      return true;
    case Option::Help:
    case Option::Version:
      break;
  }
  return true;
}

}  // namespace

Options::Options() {
  steps[0] = {SIGTERM, 5000 * kMillisecond};
  for (int sig = 0; sig <= kSignalCount; sig++) rewrite[sig] = static_cast<uint8_t>(sig);
}

bool never_forwarded(int sig) { return sig == SIGKILL || sig == SIGSTOP || sig == SIGCHLD; }

int parse_options(char** argv, Options* options) {
  static constexpr char version_line[] = PROCGROUP_VERSION "\n";
  static constexpr Option help = Option::Help, version = Option::Version;
  const Option* shown = nullptr;
  for (; *argv != nullptr && argv[0][0] == '-' && argv[0][1] != 0; argv++) {
    const char* name = *argv + 2;
    if (argv[0][1] == '-' && *name == 0) {
      argv++;
      break;
    }
    const char* equals = strchrnul(name, '=');
    size_t length = static_cast<size_t>(equals - name);
    const Option* found = nullptr;
    for (const auto& entry : kOptions) {
      if (strlen(entry.name) == length && memcmp(entry.name, name, length) == 0) found = &entry.option;
    }
    if (argv[0][1] != '-') found = strcmp(*argv, "-h") == 0 ? &help : strcmp(*argv, "-V") == 0 ? &version : nullptr;
    Text text;
    if (found == nullptr) {
      Text name_only;
      name_only.add(*argv, argv[0][1] == '-' ? length + 2 : strlen(*argv)).add("", 1);
      refuse(text.add("unknown option '").printable(name_only.data()).add("'"));
      return kFailed;
    }
    bool takes_value = *found != Option::Help && *found != Option::Version;
    if (!takes_value) {
      if (*equals != 0) {
        refuse(text.add("--").add(name, length).add(" takes no value"));
        return kFailed;
      }
      if (shown == nullptr) shown = found;
      continue;
    }
    const char* value = *equals != 0 ? equals + 1 : *++argv;
    if (value == nullptr) {
      refuse(text.add("--").add(name, length).add(" needs a value"));
      return kFailed;
    }
    if (!parse_value(*found, value, options)) return kFailed;
  }
  if (shown != nullptr) {
    return *shown == Option::Help ? print(help_text(), strlen(help_text()))
                                  : print(version_line, sizeof version_line - 1);
  }
  bool inherit = options->isolation == Isolation::Inherit;
  Conflict conflict = Conflict::None;
  if (options->containment != Containment::Cgroup && (options->cgroup_parent != nullptr || !options->limits.empty()))
    conflict = Conflict::NeedsCgroup;
  else if (inherit && options->containment == Containment::Namespace)
    conflict = Conflict::InheritNamespace;
  else if (inherit && options->scope == Scope::Group)
    conflict = Conflict::InheritGroup;
  else if (*argv == nullptr)
    conflict = Conflict::NoCommand;
  if (conflict != Conflict::None) {
    Text text;
    refuse(text.add(conflict_text(conflict)));
    return kFailed;
  }
  options->command = argv;
  for (options->command_count = 0; argv[options->command_count] != nullptr;) options->command_count++;
  return kGoOn;
}

}  // namespace procgroup
