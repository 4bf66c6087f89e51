// Containments that the kernel keeps: what their guardian is given besides its orders.
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/cgroup.h"
#include "core/text.h"
#include "engine.h"

namespace procgroup {

// On a spawner thread, behind the orders.
Error Engine::prepare_box(Job* job) {
  bool cgroup = job->tree->containment == static_cast<int32_t>(Containment::Cgroup);
  std::string words;
  int directory = -1;
  Error error = cgroup ? name_cgroup(job, &words, &directory) : Error{};
  if (error.failed()) return error;
  if (!cgroup) {  // through it the guardian learns which numbers its processes have outside
    directory = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) return make_error(errno, Stage::Namespace, "open");
    words.push_back('\0');
    job->request.namespaces = true;
  }
  job->owned_fds.push_back(directory);
  WordsHeader header = {kMagic, kBuild, static_cast<int32_t>(job->request.stdio.size())};
  job->request.stdio.push({StdioKind::Descriptor, directory, nullptr, 0, 0});
  words.insert(0, reinterpret_cast<const char*>(&header), sizeof header);
  if (words.size() > kMaxWords) return make_error(E2BIG, Stage::Cgroup, "send");
  ssize_t sent = send(job->socket.get(), words.data(), words.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  return sent == static_cast<ssize_t>(words.size()) ? Error{} : make_error(errno, Stage::Guardian, "send");
}

namespace {

// What our own process keeps its cgroup from doing, it does once this process is in one below it. Named as a leaf is,
// so that it is swept away once this process is dead.
Error move_below(const char* parent, const Vec<char>& prefix) {
  Fd directory(open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid()) return make_error(errno, Stage::Cgroup, "open");
  Vec<char> name;
  for (char c : prefix) name.push(c);
  name.push('0');
  name.push(0);
  if (mkdirat(directory.get(), name.begin(), 0755) != 0 && errno != EEXIST) {
    return make_error(errno, Stage::Cgroup, "mkdir");
  }
  Fd own(openat(directory.get(), name.begin(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  int r = own.valid() ? write_cgroup(own.get(), "cgroup.procs", std::to_string(getpid()).c_str()) : -errno;
  return r < 0 ? make_error(-r, Stage::Cgroup, "move") : Error{};
}

}  // namespace

// A process is rarely moved to another cgroup, and to find ours takes longer than to make a leaf: what was found is
// good for a while.
constexpr uint64_t kFoundFor = 1'000'000'000;

// The leaf is named here, so that it can be removed if its guardian is lost; the guardian makes it.
Error Engine::name_cgroup(Job* job, std::string* words, int* directory) {
  static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  static CgroupMount& mount = *new CgroupMount;
  static Vec<char>& prefix = *new Vec<char>;
  static std::string& found = *new std::string;
  static std::string& left = *new std::string;  // the cgroup that this process was moved out of, for limits
  static uint64_t found_at = 0, leaves = 0;
  static bool named = false;
  Limits limits;
  std::string& block = job->limit_block;
  if (!block.empty()) block.push_back('\0');
  for (size_t i = 0; i < block.size(); i += strlen(&block[i]) + 1) limits.push(&block[i]);
  Vec<char> parent, name;
  Error error;
  pthread_mutex_lock(&mutex);
  bool ours = job->cgroup_parent.empty() && limits.empty();
  if (!named) named = name_leaves(&prefix);
  if (leaves == 0) leaves = now_ns();  // another copy of this addon in the process counts elsewhere
  if (job->cgroup_parent.empty() && !left.empty()) {
    job->leaf = left;
  } else if (ours && !found.empty() && now_ns() - found_at < kFoundFor) {
    job->leaf = found;
  } else {
    error = find_cgroup_parent(job->cgroup_parent.c_str(), limits, &mount, &parent);
    if (!parent.empty()) job->leaf = parent.begin();
    if (ours) found = error.failed() ? "" : job->leaf, found_at = now_ns();
    Fd own(!error.failed() && job->move_supervisor ? open(parent.begin(), O_PATH | O_DIRECTORY | O_CLOEXEC) : -1);
    if (own.valid() && !serves_limits(own.get(), limits)) {
      error = move_below(parent.begin(), prefix);
      if (!error.failed()) left = job->leaf;
    }
  }
  for (char c : prefix) name.push(c);
  append_number(++leaves, &name);
  name.push(0);
  pthread_mutex_unlock(&mutex);
  if (error.failed()) return error;
  *directory = open(job->leaf.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (*directory < 0) return make_error(errno, Stage::Cgroup, "open");
  job->leaf.append("/").append(name.begin());
  words->append(name.begin(), name.size()).append(block);
  return {};
}

}  // namespace procgroup
