// The last step of a ladder, and who is left after it.
#include <errno.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "core/group.h"
#include "core/kernel.h"
#include "guard.h"

namespace procgroup {
namespace {

constexpr int kFreezeLooks = 50;                // at most: a chain that forks while it is frozen is seen by a later one
constexpr uint64_t kFreezeBound = 100'000'000;  // 100 ms a round
constexpr long kFreezePause = 200'000;          // 0.2 ms
constexpr int kMostReapRounds = 256;            // before survivors are named
constexpr int kUnheardRounds = 100;             // about 3 s where somebody cannot be killed
constexpr long kLongestUnheardPause = 25'000'000;

bool contains(const Vec<ProcStat>& list, const ProcStat& wanted) {
  for (const ProcStat& entry : list) {
    if (entry.pid == wanted.pid && entry.start_time == wanted.start_time) return true;
  }
  return false;
}

bool stopped(char state) { return state == 'T' || state == 't' || state == 'Z' || state == 'X' || state == 'D'; }

}  // namespace

// SIGSTOP to whoever is not stopped yet, until two looks in a row show the same processes, all of them stopped. D
// counts: a vfork parent under SIGSTOP shows it.
void Tree::freeze() {
  Vec<ProcStat> before, now;
  uint64_t bound = now_ns() + kFreezeBound;
  for (int look = 0; look < kFreezeLooks && now_ns() < bound; look++) {
    descendants(&now);
    bool changed = now.size() != before.size(), running = false;
    for (const ProcStat& member : now) {
      if (!contains(before, member)) changed = true;
      if (stopped(member.state)) continue;
      running = true;
      TreeSignal unused;
      signal_one(member, SIGSTOP, &unused);
    }
    if (!changed && !running) return;
    before.swap(now);
    struct timespec pause = {0, kFreezePause};
    nanosleep(&pause, nullptr);
  }
}

void Tree::kill_round() {
  TreeSignal unused;
  Vec<int> own;
  if (scope_ == Scope::Tree && proc_.children(self_, &own)) {
    for (int pid : own) signal_process(-1, pid, SIGKILL);  // our unreaped children: their numbers are theirs
  }
  freeze();
  Vec<ProcStat> members;
  descendants(&members);
  signal_unseen(SIGKILL, &unused);
  signal_all(members, SIGKILL, &unused);
  for (const ProcStat& member : members) signal_one(member, SIGKILL, &unused);
}

bool Tree::traced(pid_t pid) { return proc_.tracer(pid) != 0 || (box_ != nullptr && box_->traced(pid)); }

void Tree::held_zombies(Vec<ProcStat>* out) {
  proc_.scan([&](const ProcStat& process) {
    if (process.ppid == self_ && !process.alive() && traced(process.pid)) out->push(process);
  });
}

// SIGKILL makes an end of whoever may be signalled and is not in an uninterruptible wait: there it is pending already.
bool Guard::may_kill_somebody() {
  Vec<ProcStat> members;
  tree().descendants(&members);
  for (const ProcStat& member : members) {
    Fd pidfd(tree().handle(member.pid));
    if (member.state != 'D' && signal_process(pidfd.get(), member.pid, 0) == 0) return true;
  }
  return false;
}

// Nobody hears of survivors, so none may be left that more rounds can kill, however short the ladder's last wait is.
void Guard::kill_unheard() {
  long pause = kFreezePause;
  for (int round = 0; round < kUnheardRounds && !empty(); round++) {
    if (box_ == nullptr || box_->kill_round()) tree().kill_round();
    struct timespec wait = {0, pause};
    nanosleep(&wait, nullptr);
    if (pause < kLongestUnheardPause) pause *= 2;
    reap();
    if (!may_kill_somebody()) return;
  }
}

void Guard::supervisor_ended() {
  unheard_ = true;
  if (released_) return;
  // They have been named, in news that nobody reads any more. (A box is closed by then; it was killed as a whole.)
  if (state_ == GuardState::Survivors && box_ == nullptr) return kill_unheard();
  begin(Cause::Exit, false, 0);
}

void Guard::name_survivors() {
  for (int round = 0; round < kMostReapRounds && (round == 0 || reap_deadline_ != kNever); round++) reap();
  if (unheard_) kill_unheard();
  if (empty()) return finish(true);
  Vec<ProcStat> members;
  tree().descendants(&members);
  if (scope_ != Scope::Group) tree().held_zombies(&members);
  ProcFs& proc = tree().proc();
  for (const ProcStat& member : members) {
    SurvivorRecord record = {};
    record.stat = member;
    proc.wchan(member.pid, record.wchan, sizeof record.wchan);
    record.held_by_tracer = tree().traced(member.pid);
    Fd pidfd(tree().handle(member.pid));
    int r = signal_process(pidfd.get(), member.pid, 0);
    if (r == -ESRCH) continue;
    record.err = -r;
    report_.survivors.push(record);
  }
  report_.evidence = members.empty() ? Evidence::Unverified : Evidence::Census;
  finish(false);
}

}  // namespace procgroup
