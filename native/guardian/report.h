// The report of one run, as one JSON object on one line.
#pragma once
#include "cli_text.h"
#include "core/fd.h"
#include "guard.h"
#include "options.h"

namespace procgroup {

// Where the report goes. A path that cannot be opened is refused before the command starts; whatever goes wrong later
// (a full disk, a reader that left) is one line on stderr and changes no exit status. It never blocks for longer than 2
// s.
class ReportFile {
 public:
  // 0 or a positive errno. A FIFO that nobody reads yet is opened again when there is something to write.
  int open(const char* path, int high_fd);
  bool wanted() const { return path_ != nullptr; }
  bool waits_for_reader() const { return wanted() && !fd_.valid(); }
  int fd() const { return fd_.get(); }
  void write(const Text& report);

 private:
  int open_again();
  int write_all(const Text& report);

  const char* path_ = nullptr;
  int high_fd_ = -1;
  bool append_ = false;
  Fd fd_;
};

struct RunEnd {
  const Options* options;
  int pid, pgid;  // the leader's, outside
  uint32_t limits_hit;
  const WaitStatus* exit;  // not ready: it never ended
  int status;              // ours
};

Text report_of(const RunEnd& end, const Report& report);
Text report_of(const RunEnd& end, const Error& error);

}  // namespace procgroup
