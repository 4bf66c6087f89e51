// Threads that wait in the kernel where the loop cannot see: see waiters.cc.
#pragma once
#include "engine.h"

namespace procgroup {

// Where no pidfd tells: a thread that waits for one child.
struct Engine::Waiter {
  Engine* engine;
  uint64_t id;
  uint32_t environment, ticket;
  pid_t pid;
  int pidfd;  // a copy of our own, or -1
};

}  // namespace procgroup
