#include "world.h"

#include <algorithm>

#include "core/kernel.h"

using namespace procgroup;

World* world;

void broken(const char* what) {
  fprintf(stderr, "broken promise: %s\n", what);
  abort();
}

namespace {

constexpr size_t kMostProcesses = 24;
constexpr int kMostForks = 200;

bool harmless(int sig) { return sig == SIGCHLD || sig == SIGURG || sig == SIGWINCH || sig == 0; }
bool stops(int sig) { return sig == SIGSTOP || sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU; }

}  // namespace

Process* World::find(int pid) {
  for (Process& process : processes) {
    if (process.pid == pid) return &process;
  }
  return nullptr;
}

bool World::descends(int pid) {
  for (int hops = 0; hops < 1000; hops++) {
    Process* process = find(pid);
    if (process == nullptr) return false;
    if (process->ppid == kSelf) return true;
    pid = process->ppid;
  }
  return false;
}

int World::count_alive() {
  return static_cast<int>(std::count_if(processes.begin(), processes.end(),
                                        [&](const Process& p) { return p.state != 'Z' && descends(p.pid); }));
}

// The number holds its process: a pid is never given twice here.
int World::new_fd(int pid) {
  open_fds.push_back(pid << 16 | (next_fd++ & 0xffff));
  if (open_fds.size() > 4096) broken("descriptors are leaked");
  return open_fds.back();
}

Process* World::of_fd(int fd) { return find(fd >> 16); }

// kind 0: in the group; 1: a group of its own; 2: a session of its own; 3: orphaned in a session of its own.
int World::fork_of(Process& parent, int kind) {
  if (processes.size() >= kMostProcesses || forks >= kMostForks || !parent.executed || parent.state != 'S') return 0;
  forks++;
  Process child = parent;
  child.pid = next_pid++;
  child.ppid = kind == 3 ? kSelf : parent.pid;
  if (kind >= 1) child.pgid = child.pid;
  if (kind >= 2) child.sid = child.pid;
  child.born = now / 10'000'000;
  child.stop_news = child.continue_news = false;
  processes.push_back(child);
  return child.pid;
}

void World::die(Process& process, int code, int signal) {
  int pid = process.pid;
  process.state = 'Z', process.code = code, process.signal = signal;
  if (process.ppid == kSelf && !process.executed) verdict = kKilled;  // the end of its pipe
  for (Process& child : processes) {
    if (child.ppid != pid) continue;
    child.ppid = kSelf;
    if (child.state == 'Z') child_signal = true;
  }
  if (process.ppid == kSelf) child_signal = true;
}

int World::raise(int pid, int sig) {
  if (pid == kSelf) broken("the guardian signals itself");
  Process* process = find(pid);
  if (process == nullptr) return -ESRCH;
  if (!descends(pid)) {
    if (sig == 0) return 0;
    broken("a stranger is signalled");
  }
  if (process->immune) return -EPERM;
  if (process->stuck && !process->executed) return 0;
  if (process->state == 'Z' || harmless(sig)) return 0;
  if (sig == SIGKILL) {
    die(*process, -1, SIGKILL);
    return 0;
  }
  if (stops(sig)) {
    if (process->state != 'T') process->stop_news = true;
    process->state = 'T';
    if (process->ppid == kSelf) child_signal = true;
    return 0;
  }
  if (sig == SIGCONT) {
    if (process->state != 'T') return 0;
    process->state = 'S', process->continue_news = true;
    if (process->ppid == kSelf) child_signal = true;
    uint64_t pending = process->pending;
    process->pending = 0;
    for (int one = 1; one <= 64; one++) {
      if (pending >> (one - 1) & 1) raise(pid, one);
    }
    return 0;
  }
  if (process->state == 'T') {
    process->pending |= uint64_t{1} << (sig - 1);
    return 0;
  }
  if (process->ignores) return 0;
  if (process->forks_on_term) fork_of(*process, 3);
  die(*find(pid), -1, sig);
  return 0;
}

int World::raise_group(int pgid, int sig) {
  if (pgid == kSelf || pgid == kSupervisor) {
    if (sig != 0) broken("a group with strangers is signalled");
    return 0;
  }
  std::vector<int> members;
  for (Process& process : processes) {
    if (process.pgid == pgid) members.push_back(process.pid);
  }
  int result = -ESRCH;
  for (int pid : members) {
    int r = raise(pid, sig);
    if (result != 0) result = r;
  }
  return result;
}

int World::wait_any(siginfo_t* info, int options) {
  bool any = false;
  for (size_t i = 0; i < processes.size(); i++) {
    Process& process = processes[i];
    if (process.ppid != kSelf) continue;
    any = true;
    info->si_pid = process.pid;
    if (process.state == 'Z') {
      info->si_code = process.signal != 0 ? CLD_KILLED : CLD_EXITED;
      info->si_status = process.signal != 0 ? process.signal : process.code;
      processes.erase(processes.begin() + static_cast<long>(i));
      return 0;
    }
    if (process.stop_news && options & WSTOPPED) {
      process.stop_news = false;
      info->si_code = CLD_STOPPED, info->si_status = SIGSTOP;
      return 0;
    }
    if (process.continue_news && options & WCONTINUED) {
      process.continue_news = false;
      info->si_code = CLD_CONTINUED, info->si_status = SIGCONT;
      return 0;
    }
  }
  info->si_pid = 0;
  return any ? 0 : -ECHILD;
}

void World::tick() {
  if (in.empty() || in.byte() % 4 != 0 || processes.empty()) return;
  uint8_t what = in.byte();
  Process& process = processes[in.byte() % processes.size()];
  if (process.state == 'Z' || !process.executed || !descends(process.pid)) return;
  if (what % 8 == 7)
    die(process, what, 0);
  else
    fork_of(process, what % 4);
}

void World::heard(const NewsMessage& news, long size) {
  if (!valid(news, size)) broken("the guardian's own message is not valid");
  // While the end waits in a full socket, a census may still be answered, and a survivor may die.
  bool late = news.type == News::Member || news.type == News::MembersEnd || news.type == News::Exited ||
              news.type == News::Stopped;
  if (failed + gone > 0 && !late) {
    fprintf(stderr, "news %u after %d failures and %d ends\n", static_cast<unsigned>(news.type), failed, gone);
    broken("something is told after the end");
  }
  switch (news.type) {
    case News::Started:
      if (++started > 1) broken("started twice");
      break;
    case News::Failed:
      failed++;
      if (started > 0) broken("failed after it had started");
      break;
    case News::Exited:
      if (started == 0 || ++exited > 1) broken("an exit before the start, or twice");
      break;
    case News::Draining:
      if (++draining > 1) broken("draining twice");
      break;
    case News::Gone:
      gone++;
      told_empty = news.empty != 0;
      if (told_empty && exited == 0) broken("gone before the leader's exit was told");
      for (const Process& process : processes) {
        if (told_empty && descends(process.pid)) broken("told empty while somebody is left");
      }
      break;
    default:
      break;
  }
}
