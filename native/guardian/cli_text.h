// Text for stderr and for the report, without stdio (which would be a third of the executable).
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "core/vec.h"

namespace procgroup {

class Text {
 public:
  Text& add(const char* text);
  Text& add(const char* text, size_t length);
  Text& add(int64_t number);
  // Names are chosen by processes: no control character of theirs reaches the terminal.
  Text& printable(const char* text);
  // With its quotes. What is not UTF-8 becomes U+FFFD.
  Text& json(const char* text);
  Text& json(bool value) { return add(value ? "true" : "false"); }
  // Milliseconds with three decimals.
  Text& milliseconds(uint64_t ns);

  const char* data() const { return chars_.begin(); }
  size_t size() const { return chars_.size(); }

 private:
  Vec<char> chars_;
};

// Whose messages these are: "procgroup run" or the executable's own name.
void set_program_name(const char* name);
const char* program_name();

// "NAME: text\n" on stderr, in one write. A full, stuck or broken stderr loses the line, and stops nothing.
void warn(const Text& text);

// The name of an errno, or "errno N".
Text& add_errno(Text& text, int err);
// SIGTERM, or SIGRT34 for a real-time signal.
Text& add_signal(Text& text, int sig);

// A number of at most four digits, -1 for anything else.
int parse_number(const char* text);

// 1 ... 64 for "TERM", "SIGTERM", "term", "15", "RTMIN+1"; 0 for anything else.
int parse_signal(const char* text, size_t length);

}  // namespace procgroup
