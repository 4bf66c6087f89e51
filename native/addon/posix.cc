#include "posix.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "carried.h"
#include "core/group.h"
#include "core/kernel.h"

namespace procgroup {
namespace {

int integer(const Napi::CallbackInfo& info, size_t i) { return info[i].As<Napi::Number>().Int32Value(); }

int checked(int result) { return result < 0 ? -errno : result; }

// From a background group tcsetpgrp raises SIGTTOU, which would stop the whole supervisor: it is blocked around the
// call.
int set_foreground(int fd, pid_t pgid) {
  sigset_t ttou, before;
  sigemptyset(&ttou);
  sigaddset(&ttou, SIGTTOU);
  pthread_sigmask(SIG_BLOCK, &ttou, &before);
  int r = checked(tcsetpgrp(fd, pgid));
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return r;
}

}  // namespace

void add_posix(Napi::Env env, Napi::Object exports) {
  auto set = [&](const char* name, int (*call)(const Napi::CallbackInfo&)) {
    exports.Set(name, Napi::Function::New(
                          env,
                          [call](const Napi::CallbackInfo& info) -> Napi::Value {
                            return Napi::Number::New(info.Env(), call(info));
                          },
                          name));
  };
  using Info = const Napi::CallbackInfo&;
  set("getpgid", [](Info i) { return checked(getpgid(integer(i, 0))); });
  set("getpgrp", [](Info) { return static_cast<int>(getpgrp()); });
  set("getsid", [](Info i) { return checked(getsid(integer(i, 0))); });
  set("setpgid", [](Info i) { return checked(setpgid(integer(i, 0), integer(i, 1))); });
  set("setsid", [](Info) { return checked(setsid()); });
  set("guardPgid", [](Info i) { return static_cast<int>(guard_pgid(i[0].As<Napi::Number>().Int64Value())); });
  set("killpg", [](Info i) { return killpg_guarded(integer(i, 0), integer(i, 1)); });
  set("pidfdOpen", [](Info i) { return sys_pidfd_open(integer(i, 0)); });
  set("pidfdSend", [](Info i) { return sys_pidfd_send_signal(integer(i, 0), integer(i, 1), 0); });
  set("closeFd", [](Info i) { return checked(close(integer(i, 0))); });
  set("executable", [](Info i) {
    return checked(faccessat(AT_FDCWD, i[0].As<Napi::String>().Utf8Value().c_str(), X_OK, AT_EACCESS));
  });
  set("carryGuardian", [](Info) { return carried_guardian(); });
  set("tcgetpgrp", [](Info i) { return checked(tcgetpgrp(integer(i, 0))); });
  set("tcsetpgrp", [](Info i) { return set_foreground(integer(i, 0), integer(i, 1)); });
}

}  // namespace procgroup
