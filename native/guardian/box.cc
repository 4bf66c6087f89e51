#include "box.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "core/spawn.h"

namespace procgroup {

Error open_box(const Config& config, int socket, int high_fd, Box** out) {
  Vec<char> words;  // the limits point into it
  ssize_t n = recv(socket, nullptr, 0, MSG_DONTWAIT | MSG_TRUNC | MSG_PEEK);
  if (n > 0 && static_cast<size_t>(n) <= kMaxWords) {
    words.resize(static_cast<size_t>(n));
    n = recv(socket, words.data(), words.size(), MSG_DONTWAIT | MSG_TRUNC);
  }
  WordsHeader header = {};
  if (n > static_cast<ssize_t>(sizeof header)) memcpy(&header, words.data(), sizeof header);
  size_t size = n < 0 ? 0 : static_cast<size_t>(n);
  if (header.magic != kMagic || header.build != kBuild || size > words.size() || words[size - 1] != 0 ||
      header.directory < config.stdio_count) {
    return make_error(EPROTO, Stage::Guardian, "recv");
  }
  Fd directory(header.directory);
  if (high_fd >= 0)
    directory.reset(move_high(directory.release(), high_fd));
  else
    fcntl(directory.get(), F_SETFD, FD_CLOEXEC);
  if (static_cast<Containment>(config.containment) == Containment::Namespace) {
    return open_namespace_box(static_cast<Fd&&>(directory), out);
  }
  Limits limits;
  for (const char* at = words.data() + sizeof header; at < words.data() + size; at += strlen(at) + 1) limits.push(at);
  if (limits.empty()) return make_error(EPROTO, Stage::Guardian, "recv");
  const char* leaf = limits[0];
  limits.remove_front(1);
  return open_cgroup_box(static_cast<Fd&&>(directory), leaf, limits, high_fd, out);
}

}  // namespace procgroup
