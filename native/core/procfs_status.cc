// What /proc/PID/status alone tells. proc(5).
#include <stdlib.h>
#include <string.h>

#include "procfs.h"

namespace procgroup {

// The value of a line of /proc/PID/status, behind its name and a tab; null where there is none. `text` holds it.
const char* ProcFs::status_line(pid_t pid, const char* name, char* text, size_t size) {
  char path[32];
  if (!usable()) return nullptr;
  pid_path(path, pid, "status");
  if (read_file(path, text, size) <= 0) return nullptr;
  size_t length = strlen(name);
  const char* line = text;
  while (line != nullptr && (strncmp(line, name, length) != 0 || line[length] != '\t')) {
    line = strchr(line, '\n');
    if (line != nullptr) line++;
  }
  return line == nullptr ? nullptr : line + length + 1;
}

pid_t ProcFs::tracer(pid_t pid) {
  char text[2048];
  const char* value = status_line(pid, "TracerPid:", text, sizeof text);
  return value == nullptr ? 0 : static_cast<pid_t>(atoi(value));
}

bool ProcFs::is_pending(pid_t pid, int sig) {
  char text[4096];
  const char* value = status_line(pid, "ShdPnd:", text, sizeof text);
  return value != nullptr && (strtoull(value, nullptr, 16) >> (sig - 1) & 1) != 0;
}

}  // namespace procgroup
