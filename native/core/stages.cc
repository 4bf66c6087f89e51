#include "spawn.h"

namespace procgroup {

const char* syscall_of(Stage stage) {
  switch (stage) {
    case Stage::FdTable:
    case Stage::StrayFds:
      return "close_range";
    case Stage::Signals:
      return "rt_sigaction";
    case Stage::Setsid:
      return "setsid";
    case Stage::Setpgid:
      return "setpgid";
    case Stage::Placement:
      return "getpgid";
    case Stage::Foreground:
      return "tcsetpgrp";
    case Stage::ParentDeath:
      return "prctl";
    case Stage::Umask:
      return "umask";
    case Stage::Nice:
      return "setpriority";
    case Stage::OomScore:
      return "write";
    case Stage::Chdir:
      return "chdir";
    case Stage::Descriptors:
      return "dup3";
    case Stage::Rlimit:
      return "setrlimit";
    case Stage::SignalMask:
      return "rt_sigprocmask";
    case Stage::Exec:
      return "execve";
    case Stage::Groups:
      return "setgroups";
    case Stage::Setgid:
      return "setresgid";
    case Stage::Setuid:
      return "setresuid";
    case Stage::Cgroup:
      return "write";
    case Stage::Namespace:
      return "mount";
    default:
      return "clone";
  }
}

}  // namespace procgroup
