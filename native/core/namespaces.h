// What a PID namespace of one's own takes. pid_namespaces(7), user_namespaces(7).
#pragma once
#include <stdint.h>

namespace procgroup {

constexpr uint64_t kNewNs = 0x20000, kNewUser = 0x10000000, kNewPid = 0x20000000;  // CLONE_ flags

// CAP_SYS_ADMIN is effective: no user namespace is needed.
bool has_sys_admin();

// One line each: our own ids, as they are outside.
struct IdMaps {
  char uid[32], gid[32];
  void fill();
};

}  // namespace procgroup
