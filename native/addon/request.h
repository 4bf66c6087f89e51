// From JavaScript values to plain structs. lib/native.ts packs numbers and strings in the order that is read here.
#pragma once
#include <napi.h>

#include <memory>

#include "engine.h"

namespace procgroup {

// spawn(ticket, file, argv, env | null, cwd | null, paths | null, killer | null, numbers, guardian, cgroup).
// Lists are joined by NUL. `awaited`: the caller's thread stands still until the spawn has settled, so that its
// descriptors need no copies.
std::unique_ptr<Job> read_job(const Napi::CallbackInfo& info, uint32_t environment, bool awaited = false);

// Reads the teardown part that spawn and attach share. `at` moves on.
void read_teardown(const double* numbers, size_t* at, GroupOptions* options, uint64_t* killer_timeout_ns);
std::shared_ptr<const Killer> read_killer(Napi::Value value, uint64_t timeout_ns);

// Not a number, or not above 0: 0. Infinity: beyond any life.
uint64_t to_ns(double ms);

// RLIMIT_NOFILE as this process was started: Node raises the soft limit before any addon is loaded. Called once, at
// load.
void remember_started_limits();

}  // namespace procgroup
