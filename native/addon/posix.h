// The primitives of procgroup/posix: one system call each, the result or a negative errno.
#pragma once
#include <napi.h>

namespace procgroup {

void add_posix(Napi::Env env, Napi::Object exports);

}  // namespace procgroup
