// A guardian that is lost: what becomes of its group. A tree is hunted by its mark; the leaf of a cgroup is ended,
// looked at and removed by us; a namespace has ended with its init.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

#include "cgroup.h"
#include "protocol.h"
#include "supervisor.h"

namespace procgroup {
namespace {

int open_leaf(const Group& group) {
  return group.leaf.empty() ? -1 : open(group.leaf.begin(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

}  // namespace

int Supervisor::pause(Group& group, bool on) {
  if (!group.tree || group.leaf.empty()) return -ESRCH;
  return send_order(group, Order::Pause, 0, Cause::None, on, 0);
}

// Before Linux 5.14 there is no such file: the hunt finds its members and kills them one by one. Who is frozen dies
// too.
void Supervisor::kill_leaf(const Group& group) {
  Fd leaf(open_leaf(group));
  if (leaf.valid()) write_cgroup(leaf.get(), "cgroup.kill", "1");
}

bool Supervisor::leaf_empty(const Group& group) {
  Fd leaf(open_leaf(group));
  return !leaf.valid() || cgroup_populated(leaf.get()) == 0;
}

void Supervisor::remove_leaf(Group& group) {
  if (remove_cgroup(AT_FDCWD, group.leaf.begin()) < 0) group.report.notes |= kNoteCgroupLeft;
}

// Whether it has ended, be it that nobody can take its zombie. False where nothing tells.
bool Supervisor::guardian_dead(const Group& group) {
  if (group.guardian_pidfd.valid()) {
    struct pollfd polled = {group.guardian_pidfd.get(), POLLIN, 0};
    return poll(&polled, 1, 0) == 1;
  }
  ProcStat stat;
  if (caller_proc_.stat(group.guardian, &stat)) return !stat.alive();
  return caller_proc_.usable() && caller_proc_.absent();
}

// The kernel has ended everybody before it let init's end be seen: pid_namespaces(7).
void Supervisor::namespace_lost(Group& group) {
  group.report.notes |= kNoteGuardianLost;
  if (group.report.cause == Cause::None) group.report.cause = Cause::Guardian;
  group.report.empty = true;
  group.report.evidence = Evidence::Namespace;
  group.report.duration_ns = group.teardown_start == 0 ? 0 : now_ns() - group.teardown_start;
  leader_lost(group);
}

// Its parent is dead: nobody but the kernel can say how it ended, where the kernel can (Linux 6.15).
void Supervisor::leader_lost(Group& group) {
  if (group.ref.leader_exited) return;
  group.ref.leader_exited = true;
  WaitStatus status;
  bool known = exit_info(group, &status);
  group.exit = status;
  group.exit_kind = known ? ExitStatusKind::Exact : ExitStatusKind::Unknown;
  take_terminal_back(group);
  if (!group.starting) listener_->on_leader_exit(group);
}

// SIGKILL does not end init, so the kernel has not ended the others either: init is named for all of them, whom nobody
// can see any more. Its end is still heard.
void Supervisor::namespace_stuck(Group& group) {
  group.told_gone = true;  // whatever it might still say
  group.report.notes |= kNoteGuardianLost;
  if (group.report.cause == Cause::None) group.report.cause = Cause::Guardian;
  group.report.empty = false;
  group.report.evidence = Evidence::Unverified;
  group.report.duration_ns = group.teardown_start == 0 ? 0 : now_ns() - group.teardown_start;
  SurvivorRecord record = {};
  if (caller_proc_.stat(group.guardian, &record.stat)) {
    caller_proc_.wchan(group.guardian, record.wchan, sizeof record.wchan);
    record.held_by_tracer = caller_proc_.tracer(group.guardian) != 0;
    group.report.survivors.push(record);
  }
  namespace_survivors(group);
}

// Told at once: init cannot end before they do, and they may never.
void Supervisor::namespace_survivors(Group& group) {
  timers_.cancel(&group.ladder_timer);
  group.phase = Phase::Survivors;
  if (group.list_due) {
    group.list_due = false;
    listener_->on_members(group);
  }
  listener_->on_gone(group);
}

void Supervisor::namespace_ended(Group& group) {
  leader_lost(group);
  free_group(&group);
}

// Its end is still told, and an explicit stop() finds it by its mark.
void Supervisor::leave_running(Group& group) {
  if (!group.ref.leader_exited) {
    group.attached = true;  // init's child now: its pidfd tells its end
    bool watched =
        group.ref.pidfd.valid() && reaper_->add(group.ref.pidfd.get(), {kLeader, group.slot, group.generation}) == 0;
    group.leader_watched = watched;
    if (!watched) leader_lost(group);
  }
  settle(group);
}

// Without its guardian the tree is what carries its mark in the environment, or is in the leader's group. Its leader
// has been killed by its parent-death signal; the others are found and killed until scans show nobody. Where the
// command had not been heard of yet, the spawn has failed once nobody is left.
void Supervisor::hunt(Group& group) {
  group.tree = false;
  group.lost = true;
  group.ref.pin = Pin::Members;
  group.ref.numeric_members = !(features_ & kFeaturePidfd);
  group.report.notes |= kNoteGuardianLost;
  // Released, and nobody has asked for its end: it was left running on purpose.
  if (!group.held && group.report.cause == Cause::None) return leave_running(group);
  kill_leaf(group);
  // Its own pidfd still pins the leader's group; before Linux 6.9 nothing does, since init has reaped the leader.
  if ((features_ & kFeaturePidfdGroup) && group.ref.pidfd.valid() && group.ref.pgid == group.ref.leader) {
    sys_pidfd_send_signal(group.ref.pidfd.get(), SIGKILL, kPidfdSignalProcessGroup);
  }
  leader_lost(group);
  // What had been asked for before is what entered the teardown, also where it was never heard. Where the guardian had
  // begun, the teardown goes on, and is not told a second time.
  begin(group, group.report.cause == Cause::None ? Cause::Guardian : group.report.cause, true);
}

}  // namespace procgroup
