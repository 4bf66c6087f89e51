// The engine's core without Node: what check.mjs counts the instructions of, by callgrind. V8 in the same process would
// make them differ by a tenth from run to run. A group is registered, its leader's exit is taken, that nobody is left
// is proven and told: driver COUNT PROGRAM. Valgrind before 3.21 knows no pidfds, and makes a plain fork of every
// clone, so that the driver starts PROGRAM by itself, and waits for its end as the engine's waiting threads do.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/supervisor.h"

using namespace procgroup;

namespace {

class Driver final : public Listener {
 public:
  Driver() : supervisor_(this, &reaper_) {
    uint32_t features = probe_kernel(kFeaturePidfd).available;
    if (reaper_.open(-1, false) < 0) fail("epoll_create1");
    supervisor_.configure(features, -1);
  }

  void run(char* program) {
    GroupRef ref;
    ref.leader = ref.pgid = ref.sid = start(program);
    ref.pin = Pin::Zombie;
    Error error;
    Group* group = supervisor_.adopt(static_cast<GroupRef&&>(ref), GroupOptions{}, 1, &error);
    if (group == nullptr || error.failed()) fail("adopt");
    siginfo_t info;
    if (waitid(P_PID, static_cast<id_t>(group->ref.leader), &info, WEXITED | WNOWAIT) != 0) fail("waitid");
    supervisor_.on_leader_waitable(group->id());
    while (!gone_) turn();
    gone_ = false;
  }

 private:
  [[noreturn]] static void fail(const char* what) {
    fprintf(stderr, "driver: %s failed\n", what);
    exit(1);
  }

  static pid_t start(char* program) {
    char* argv[] = {program, nullptr};
    char* environment[] = {nullptr};
    pid_t pid = vfork();
    if (pid < 0) fail("vfork");
    if (pid > 0) return pid;
    setsid();
    execve(program, argv, environment);
    _exit(127);
  }

  void turn() {
    struct epoll_event events[Reaper::kBatch];
    int n = reaper_.wait(events, supervisor_.batch_due() ? 0 : supervisor_.next_deadline());
    for (int i = 0; i < n; i++) supervisor_.on_event(Token::unpack(events[i].data.u64));
    supervisor_.on_timers(now_ns());
    if (supervisor_.batch_due()) supervisor_.on_batch_end();
  }

  void on_started(Group&) override {}
  void on_failed(Group&, const Error&) override { fail("the group"); }
  void on_stop_state(Group&, int) override {}
  void on_leader_exit(Group&) override {}
  void on_draining(Group&) override {}
  void on_gone(Group& group) override {
    if (!group.report.empty) fail("teardown");
    gone_ = true;
  }
  void on_members(Group&) override {}
  void on_paused(Group&, bool, int) override {}
  bool start_killer(Group&, int, const Vec<pid_t>&) override { return false; }
  void unlock() override {}
  void lock() override {}

  Reaper reaper_;
  Supervisor supervisor_;
  bool gone_ = false;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  Driver driver;
  for (int i = atoi(argv[1]); i > 0; i--) driver.run(argv[2]);
  return 0;
}
