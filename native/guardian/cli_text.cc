#include "cli_text.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

namespace procgroup {

namespace {

const char* name_in_messages = "procgroup-guardian";

constexpr int kFirstRealTime = 34, kLastSignal = 64;  // as signal(7) counts them under glibc and musl

constexpr char kSignals[][7] = {"",       "HUP",  "INT",    "QUIT", "ILL",   "TRAP", "ABRT", "BUS",
                                "FPE",    "KILL", "USR1",   "SEGV", "USR2",  "PIPE", "ALRM", "TERM",
                                "STKFLT", "CHLD", "CONT",   "STOP", "TSTP",  "TTIN", "TTOU", "URG",
                                "XCPU",   "XFSZ", "VTALRM", "PROF", "WINCH", "IO",   "PWR",  "SYS"};
constexpr struct {
  char name[7];
  uint8_t number;
} kAliases[] = {{"IOT", SIGABRT}, {"POLL", SIGIO}, {"CLD", SIGCHLD}, {"UNUSED", SIGSYS}};

// What a spawn, a signal or a report can be refused with.
constexpr struct {
  uint8_t number;
  char name[14];
} kErrnos[] = {
    {EPERM, "EPERM"},
    {ENOENT, "ENOENT"},
    {ESRCH, "ESRCH"},
    {EINTR, "EINTR"},
    {EIO, "EIO"},
    {ENXIO, "ENXIO"},
    {E2BIG, "E2BIG"},
    {ENOEXEC, "ENOEXEC"},
    {EBADF, "EBADF"},
    {ECHILD, "ECHILD"},
    {EAGAIN, "EAGAIN"},
    {ENOMEM, "ENOMEM"},
    {EACCES, "EACCES"},
    {EFAULT, "EFAULT"},
    {EBUSY, "EBUSY"},
    {EEXIST, "EEXIST"},
    {ENODEV, "ENODEV"},
    {EFBIG, "EFBIG"},
    {ENOTDIR, "ENOTDIR"},
    {EISDIR, "EISDIR"},
    {EINVAL, "EINVAL"},
    {ENFILE, "ENFILE"},
    {EMFILE, "EMFILE"},
    {ENOTTY, "ENOTTY"},
    {ETXTBSY, "ETXTBSY"},
    {ENOSPC, "ENOSPC"},
    {EROFS, "EROFS"},
    {EPIPE, "EPIPE"},
    {ENAMETOOLONG, "ENAMETOOLONG"},
    {ENOSYS, "ENOSYS"},
    {ELOOP, "ELOOP"},
    {ELIBBAD, "ELIBBAD"},
    {ENOTCONN, "ENOTCONN"},
    {ETIMEDOUT, "ETIMEDOUT"},
    {ESTALE, "ESTALE"},
    {EDQUOT, "EDQUOT"},
};

// `name` is of capitals and digits.
bool same(const char* name, const char* text, size_t length) {
  if (strlen(name) != length) return false;
  for (size_t i = 0; i < length; i++) {
    char c = text[i];
    if (name[i] != (c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c)) return false;
  }
  return true;
}

int digits(const char* text, size_t length) {
  int value = 0;
  for (size_t i = 0; i < length; i++) {
    if (text[i] < '0' || text[i] > '9' || value > 999) return -1;
    value = value * 10 + (text[i] - '0');
  }
  return length == 0 ? -1 : value;
}

int real_time(const char* text, size_t length) {
  if (length < 5) return 0;
  bool from_first = same("RTMIN", text, 5), from_last = same("RTMAX", text, 5);
  if (!from_first && !from_last) return 0;
  int offset = 0;
  if (length > 5) {
    if (text[5] != (from_first ? '+' : '-')) return 0;
    offset = digits(text + 6, length - 6);
  }
  if (offset < 0 || offset > kLastSignal - kFirstRealTime) return 0;
  return from_first ? kFirstRealTime + offset : kLastSignal - offset;
}

// The length of the UTF-8 sequence at `text`, 0 where it is none. Overlong forms and surrogates are none.
size_t utf8(const unsigned char* text) {
  unsigned first = text[0];
  size_t length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  for (size_t i = 1; i < length; i++) {
    if ((text[i] & 0xc0) != 0x80) return 0;
  }
  if ((first == 0xe0 && text[1] < 0xa0) || (first == 0xed && text[1] > 0x9f)) return 0;
  if ((first == 0xf0 && text[1] < 0x90) || (first == 0xf4 && text[1] > 0x8f)) return 0;
  return length;
}

}  // namespace

void set_program_name(const char* name) { name_in_messages = name; }
const char* program_name() { return name_in_messages; }

Text& Text::add(const char* text) { return add(text, strlen(text)); }

Text& Text::add(const char* text, size_t length) {
  if (length == 0) return *this;
  size_t at = chars_.size();
  chars_.resize(at + length);
  memcpy(chars_.data() + at, text, length);
  return *this;
}

Text& Text::add(int64_t number) {
  char reversed[20];
  int n = 0;
  uint64_t left = number < 0 ? -static_cast<uint64_t>(number) : static_cast<uint64_t>(number);
  if (number < 0) chars_.push('-');
  do reversed[n++] = static_cast<char>('0' + left % 10);
  while ((left /= 10) > 0);
  while (n > 0) chars_.push(reversed[--n]);
  return *this;
}

Text& Text::milliseconds(uint64_t ns) {
  uint64_t us = ns / 1000 % 1000;
  add(static_cast<int64_t>(ns / 1'000'000));
  for (uint64_t digit = 100; us > 0; digit /= 10) {
    if (digit == 100) chars_.push('.');
    chars_.push(static_cast<char>('0' + us / digit));
    us %= digit;
  }
  return *this;
}

Text& Text::printable(const char* text) {
  for (const unsigned char* c = reinterpret_cast<const unsigned char*>(text); *c != 0; c++) {
    if (*c == '\n' || *c == '\t') {
      chars_.push(' ');
    } else if (*c < 0x20 || *c == 0x7f || (c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0)) {
      if (*c == 0xc2) c++;
      chars_.push('?');
    } else {
      chars_.push(static_cast<char>(*c));
    }
  }
  return *this;
}

Text& Text::json(const char* text) {
  static const char hex[] = "0123456789abcdef";
  chars_.push('"');
  for (const unsigned char* c = reinterpret_cast<const unsigned char*>(text); *c != 0;) {
    size_t length = utf8(c);
    if (*c < 0x20) {
      char escaped[] = {'\\', 'u', '0', '0', hex[*c >> 4], hex[*c & 15]};
      add(escaped, sizeof escaped);
    } else if (length == 0) {
      add("\xef\xbf\xbd");
    } else {
      if (*c == '"' || *c == '\\') chars_.push('\\');
      add(reinterpret_cast<const char*>(c), length);
    }
    c += length == 0 ? 1 : length;
  }
  chars_.push('"');
  return *this;
}

void warn(const Text& text) {
  Text line;
  line.add(name_in_messages).add(": ").add(text.data(), text.size()).add("\n");
  struct pollfd polled = {STDERR_FILENO, POLLOUT, 0};
  if (poll(&polled, 1, 0) != 1) return;  // stuck: a blocking write would stop us with it
  ssize_t unused = write(STDERR_FILENO, line.data(), line.size());
  (void)unused;
}

Text& add_errno(Text& text, int err) {
  for (const auto& entry : kErrnos) {
    if (entry.number == err) return text.add(entry.name);
  }
  return text.add("errno ").add(err);
}

Text& add_signal(Text& text, int sig) {
  if (sig > 0 && sig < static_cast<int>(sizeof kSignals / sizeof *kSignals)) return text.add("SIG").add(kSignals[sig]);
  return text.add("SIGRT").add(sig);
}

int parse_number(const char* text) { return digits(text, strlen(text)); }

int parse_signal(const char* text, size_t length) {
  int number = digits(text, length);
  if (number >= 0) return number <= kLastSignal ? number : 0;
  if (length > 3 && same("SIG", text, 3)) text += 3, length -= 3;
  for (int sig = 1; sig < static_cast<int>(sizeof kSignals / sizeof *kSignals); sig++) {
    if (same(kSignals[sig], text, length)) return sig;
  }
  for (const auto& alias : kAliases) {
    if (same(alias.name, text, length)) return alias.number;
  }
  return real_time(text, length);
}

}  // namespace procgroup
