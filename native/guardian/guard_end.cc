// How a guard ends: nobody is left, or the survivors are named.
#include <errno.h>

#include "core/kernel.h"
#include "guard.h"

namespace procgroup {

void Guard::name_survivors() {
  reap();
  if (empty()) return finish(true);
  Vec<ProcStat> members;
  tree().descendants(&members);
  if (scope_ != Scope::Group) tree().held_zombies(&members);
  ProcFs& proc = tree().proc();
  for (const ProcStat& member : members) {
    SurvivorRecord record = {};
    record.stat = member;
    proc.wchan(member.pid, record.wchan, sizeof record.wchan);
    record.held_by_tracer = proc.tracer(member.pid) != 0;
    Fd pidfd(sys_pidfd_open(member.pid));
    int r = signal_process(pidfd.get(), member.pid, 0);
    if (r == -ESRCH) continue;
    record.err = -r;
    report_.survivors.push(record);
  }
  report_.evidence = members.empty() ? Evidence::Unverified : Evidence::Census;
  finish(false);
}

void Guard::finish(bool empty) {
  ladder_.on(LadderEvent::Empty);
  report_.empty = empty;
  report_.duration_ns = teardown_start_ == 0 ? 0 : now_ns() - teardown_start_;
  state_ = empty ? GuardState::Empty : GuardState::Survivors;
  listener_->on_gone(report_);
}

}  // namespace procgroup
