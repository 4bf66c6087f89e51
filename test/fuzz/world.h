// What the fuzzed guardian lives in: a supervisor, strangers, a tree of processes that fork, stop and die as the input
// says, a socket, and time. It checks what must hold whatever happens, and aborts where it does not.
#pragma once
#include <stdint.h>

#include <deque>
#include <string>
#include <vector>

#include "core/protocol.h"

constexpr int kSelf = 1000, kSupervisor = 500, kStranger = 501;
constexpr int kSocketFd = 3, kSupervisorFd = 4, kSignalFd = 10, kVerdictFd = 11;

struct Ended {};  // thrown by _exit, so that the guardian's objects are destroyed

// The fuzzer's bytes; 0 for ever after their end.
struct Input {
  const uint8_t* at;
  const uint8_t* end;
  bool empty() const { return at == end; }
  uint8_t byte() { return at == end ? 0 : *at++; }
  uint32_t word() {
    uint32_t value = byte();
    return value | uint32_t{byte()} << 8;
  }
  uint64_t number() {  // mostly small
    uint64_t value = word();
    return value << (byte() % 48);
  }
};

enum Verdicts { kAboutToExec = 1, kExecuted, kFailed, kKilled };

struct Process {
  int pid, ppid, pgid, sid;
  char state = 'S';
  uint64_t born = 0;
  bool immune = false;         // answers EPERM
  bool stuck = false;          // before exec: SIGKILL does not end it
  bool ignores = false;        // SIGTERM and its like
  bool forks_on_term = false;  // a detached copy of itself
  bool executed = false;       // the leader before exec forks nobody
  bool stop_news = false, continue_news = false;
  uint64_t pending = 0;  // while stopped
  int code = -1, signal = 0;
};

struct World {
  explicit World(Input input) : in(input) {}

  Input in;
  uint64_t now = 1'000'000'000'000;
  int next_pid = 1001;
  std::vector<Process> processes;
  std::deque<std::vector<uint8_t>> packets;  // on their way to the guardian
  std::vector<int> open_fds;
  int next_fd = 100;
  bool supervisor_dead = false, hung_up = false, socket_full = false, released = false;
  int pending_signals = 0;  // in the signalfd
  bool child_signal = false;
  // What Leader::read_verdict says next: 0 nothing yet, or one of Verdicts. kFailed: with `verdict_error`.
  int verdict = 0, verdict_error = 0;
  bool executed = false;
  bool hangs = false;  // the verdict does not come by itself
  bool list_children = true, group_flag = true, pidfds = true;
  uint32_t steps = 0;
  int forks = 0;

  // What the guardian has said.
  int started = 0, failed = 0, exited = 0, draining = 0, gone = 0;
  bool told_empty = false;

  Process* find(int pid);
  bool descends(int pid);  // from the guardian
  int count_alive();
  int new_fd(int pid);  // a pidfd
  Process* of_fd(int fd);
  int fork_of(Process& parent, int kind);
  void die(Process& process, int code, int signal);
  int raise(int pid, int sig);  // 0 or a negative errno
  int raise_group(int pgid, int sig);
  int wait_any(siginfo_t* info, int options);
  void tick();   // somebody may do something while the guardian works
  void event();  // the next one of the input
  void close_down();
  void heard(const procgroup::NewsMessage& news, long size);
};

extern World* world;
[[noreturn]] void broken(const char* what);
