// Feeds orders and events into the guardian's message parser, state machine and tree (serve.cc, guard.cc, tree.cc,
// teardown.cc), as they are built for use but for their system calls. Run by scripts/fuzz.mjs.
#include "guardian/serve.h"
#include "world.h"

using namespace procgroup;

namespace {

constexpr uint64_t kLongest = UINT64_MAX / 64;  // as lib/options.ts bounds what it passes on
constexpr uint64_t kKillWait = 300'000'000;     // short: each millisecond of it is worked through

void send_packet(const void* bytes, size_t size) {
  auto* from = static_cast<const uint8_t*>(bytes);
  if (world->packets.size() < 64) world->packets.emplace_back(from, from + size);
}

OrderMessage make_order(Input& in, Order type) {
  OrderMessage order = {};
  order.magic = kMagic, order.build = kBuild, order.type = type;
  order.signal = in.byte() % 66;
  order.cause = in.byte() % 8;
  order.kill = in.byte() & 1;
  order.grace_cap_ns = in.number() % kLongest;
  return order;
}

void send_config(Input& in) {
  OrderMessage order = make_order(in, Order::Config);
  order.signal = 0;
  Config& config = order.config;
  config.isolation = in.byte() % 3;
  config.inherit_pgid = kSupervisor;
  config.close_strays = in.byte() & 1;
  config.stdio_count = 3 + in.byte() % 4;
  config.uid = config.gid = config.group_count = -1;
  config.killer = in.byte() & 1;
  config.step_count = in.byte() % 4;
  for (int i = 0; i < config.step_count; i++) {
    config.steps[i].signal = 1 + in.byte() % 64;
    config.steps[i].grace_ns = in.number() % kLongest;
  }
  config.kill_wait_ns = 30'000'000 + in.number() % kKillWait;  // time for some rounds of it
  config.timeout_ns = in.byte() & 1 ? in.number() % kLongest : 0;
  // Sometimes a word of it is anything at all; what is then still valid must not break a promise. What would keep the
  // ladder from ever ending is left out: the engine never asks for it.
  if (in.byte() % 8 == 0) {
    size_t at = in.word() % (offsetof(Config, kill_wait_ns) / 4);
    uint32_t value = in.word() << 16 | in.word();
    memcpy(reinterpret_cast<char*>(&config) + at * 4, &value, 4);
    if (config.isolation == 0) config.inherit_pgid = kSupervisor;
    for (LadderStep& step : config.steps) {
      if (step.signal < 0 || step.signal > 64) step.signal = SIGTERM;
    }
  }
  bool kills = false;  // from a SIGKILL on there is a round of it every few milliseconds
  for (LadderStep& step : config.steps) {
    kills |= step.signal == SIGKILL;
    if (kills) step.grace_ns %= kKillWait;
  }
  send_packet(&order, sizeof order);
}

void send_raw(Input& in) {
  uint8_t how = in.byte();
  OrderMessage order = make_order(in, static_cast<Order>(how % 9));
  std::vector<uint8_t> bytes(sizeof order + 64);
  memcpy(bytes.data(), &order, sizeof order);
  size_t size = how & 16 ? in.word() % bytes.size() : sizeof order;
  for (int i = how % 5; i > 0; i--) bytes[in.word() % bytes.size()] = in.byte();
  send_packet(bytes.data(), size);
}

}  // namespace

void World::event() {
  uint8_t what = in.byte();
  Process* some = processes.empty() ? nullptr : &processes[in.byte() % processes.size()];
  bool ours = some != nullptr && descends(some->pid) && some->state != 'Z';
  switch (what % 14) {
    case 0:
      now += in.number() % 20'000'000'000;
      return;
    case 1: {
      OrderMessage order = make_order(in, static_cast<Order>(2 + in.byte() % 5));
      return send_packet(&order, sizeof order);
    }
    case 2:
      return send_raw(in);
    case 3:
      // Only of a child that is there, and comes that far.
      if (some == nullptr || some->ppid != kSelf || some->executed || some->state == 'Z' || some->stuck) return;
      verdict = kAboutToExec + in.byte() % 3;
      verdict_error = verdict == kFailed ? std::vector<int>{EPERM, ENOENT, EACCES, ETXTBSY}[in.byte() % 4] : 0;
      return;
    case 4:
    case 5:
      if (ours) fork_of(*some, in.byte() % 4);
      return;
    case 6:
      if (ours && some->executed) die(*some, in.byte(), in.byte() & 1 ? SIGSEGV : 0);
      return;
    case 7:
      if (ours && some->executed) raise(some->pid, in.byte() & 1 ? SIGSTOP : SIGCONT);
      return;
    case 8:
      supervisor_dead = in.byte() % 4 == 0 || supervisor_dead;
      return;
    case 9:
      pending_signals = pending_signals < 100 ? pending_signals + 1 : 100;
      return;
    case 10:
      socket_full = !socket_full;
      return;
    case 11:
      if (ours && some->executed) some->immune |= in.byte() % 4 == 0;  // for good
      return;
    case 12:
      if (ours) some->ignores = !some->ignores;
      return;
    case 13:
      hung_up = in.byte() % 4 == 0 || hung_up;
      return;
  }
}

// The input has ended: nobody forks any more, exec comes to its verdict unless it hangs, the supervisor dies, a
// released tree ends by itself. From here on the guardian has to come to its end.
void World::close_down() {
  socket_full = false;
  if (failed == 0 && started == 0 && verdict == 0 && !hangs) {
    for (Process& process : processes) {
      if (process.ppid == kSelf && !process.executed && process.state != 'Z') verdict = kExecuted;
    }
  }
  if (!supervisor_dead) {
    supervisor_dead = true;
    return;
  }
  if (!released) return;
  for (Process& process : processes) {
    if (process.executed && process.state != 'Z' && descends(process.pid)) die(process, 0, 0);
  }
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  World here(Input{data, data + size});
  world = &here;
  for (int pid : {kSupervisor, kStranger}) {
    Process process = {pid, 1, kSupervisor, kSupervisor};
    here.processes.push_back(process);
  }
  uint8_t kernel = here.in.byte();
  here.list_children = !(kernel & 1), here.group_flag = !(kernel & 2), here.pidfds = !(kernel & 4);
  if (kernel & 8) here.supervisor_dead = true;
  if (kernel % 16 == 15)
    send_raw(here.in);
  else
    send_config(here.in);
  char* words[] = {const_cast<char*>("command"), nullptr};
  char* none[] = {nullptr};
  Command command = {"command", nullptr, words, 1, none};
  bool ended = false;
  try {
    serve(kSocketFd, kSupervisorFd, command);
  } catch (Ended&) {
    ended = true;
  }
  if (!ended) broken("serve() has returned");
  if (here.gone + here.failed > 1) broken("more than one end was told");
  if (!here.open_fds.empty()) broken("a pidfd is left open");
  for (const Process& process : here.processes) {
    if (here.descends(process.pid) && process.state != 'Z' && !process.immune && here.gone == 0 && process.executed) {
      broken("the guardian has ended, and a process that it could have killed is left");
    }
  }
  world = nullptr;
  return 0;
}
