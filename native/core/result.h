// The step that failed, the syscall that refused, and its errno: carried as plain numbers across every edge of core.
#pragma once
#include <stdint.h>

namespace procgroup {

// The order is part of the protocol with lib/native.ts (STAGES): append only.
enum class Stage : int32_t {
  None = 0,
  Lookup,
  Stdio,
  Clone,
  FdTable,
  Signals,
  Setsid,
  Setpgid,
  Placement,
  Foreground,
  ParentDeath,
  Umask,
  Nice,
  OomScore,
  Chdir,
  Descriptors,
  StrayFds,
  Rlimit,
  SignalMask,
  Exec,
  Register,
  Groups,
  Setgid,
  Setuid,
  Guardian,
  Cgroup,
  Namespace,
};

struct Error {
  int32_t err = 0;  // positive errno; 0: no error
  Stage stage = Stage::None;
  const char* syscall = "";  // a static string, or one that lives as long as the record it belongs to
  int32_t index = -1;        // stdio number, where the stage is about one
  int32_t term_signal = 0;   // signal that killed the child before exec; err is then 0

  bool failed() const { return err != 0 || term_signal != 0; }
};

inline Error make_error(int err, Stage stage, const char* syscall, int32_t index = -1) {
  Error e;
  e.err = err;
  e.stage = stage;
  e.syscall = syscall;
  e.index = index;
  return e;
}

}  // namespace procgroup
