#pragma once
#include <napi.h>

namespace procgroup {

class Environment;

// afterPoll(callback): a function, to be called for each exit that is delivered, which has `callback` called once, with
// ticks and microtasks after it: when all that a poll found has been read and before the immediates, where libuv itself
// tells of signals, and so of children. That poll has seen the exit, and with it whatever the child wrote before: where
// the news of the exit came in between (another thread's news had woken the loop), it is the poll of the next turn.
// null where the runtime is not on libuv.
Napi::Value after_poll(const Napi::CallbackInfo& info, Environment* environment);

// settleClosed(): to be called at once after a process handle was closed for which uv_spawn had refused. libuv 1.52
// takes such a handle out of the loop's list of handles, and does so again when it has been closed, by links that may
// be stale by then: it is put back into the list.
Napi::Value settle_closed(const Napi::CallbackInfo& info);

}  // namespace procgroup
