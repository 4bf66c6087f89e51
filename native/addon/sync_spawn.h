#pragma once
#include <napi.h>

namespace procgroup {

class Environment;

// spawnNow(the arguments of spawn ..., number of argv, number of env or -1, uid | null, gid | null): a spawn that has
// settled when it returns: [0 or a negative errno, id, pid, pid of the guardian, stage, our ends by stdio number]. null
// where argv or env held a NUL. Here a pipe is one of a socket pair, what nobody lists is inherited, and the
// descriptors come also where the program could not be started, with nobody at their other ends: what libuv's uv_spawn
// gives.
Napi::Value spawn_now_call(const Napi::CallbackInfo& info, Environment* environment);

}  // namespace procgroup
