// The command line: options up to the first word that is none, then the command.
#pragma once
#include <stdint.h>

#include "core/cgroup.h"
#include "core/plan.h"
#include "core/protocol.h"
#include "core/teardown.h"
#include "tree.h"

namespace procgroup {

constexpr int kSignalCount = 64;

struct Options {
  Isolation isolation = Isolation::Group;
  Scope scope = Scope::Tree;
  Containment containment = Containment::Tree;  // not Tree: the kernel's, around the whole tree
  const char* cgroup_parent = nullptr;          // null: found
  Limits limits;
  LadderStep steps[kMaxSteps];
  int step_count = 1;
  uint64_t timeout_ns = 0;            // 0: none
  uint8_t rewrite[kSignalCount + 1];  // by signal received: the one that is forwarded; 0: none
  const char* report = nullptr;
  char** command = nullptr;  // null-terminated
  int command_count = 0;

  Options();
};

// What is received but never forwarded, or cannot be received.
bool never_forwarded(int sig);

// help.cc
const char* help_text();
enum class Conflict : uint8_t { None, NeedsCgroup, InheritNamespace, InheritGroup, NoCommand };
const char* conflict_text(Conflict conflict);
// All of it to stdout. The exit status: 0, also where the reader has gone, or after one line on stderr.
int print(const char* text, size_t length);

constexpr int kGoOn = -1;

// Reads `argv` (null-terminated, without the program's name). kGoOn, or the exit status: after --help, or after one
// line on stderr about what was not understood.
int parse_options(char** argv, Options* options);

}  // namespace procgroup
