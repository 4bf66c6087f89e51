// Who is left when the ladder has come to its end.
#include <errno.h>
#include <unistd.h>

#include "supervisor.h"

namespace procgroup {

void Supervisor::name_survivors(Group& group, bool complete, bool exact) {
  group.final_due = false;
  if (!group.ref.leader_exited && group.leader_dead && !group.attached) {
    // Dead but not waitable: its tracer holds it. With a pidfd its exit has been told long ago.
    group.final_due = true;
    return leader_exited(group, ExitStatusKind::HeldByTracer);
  }
  if (group.ref.pin == Pin::Leader && group.ref.leader_exited) return finish(group, true, Evidence::Leader);
  for (const ProcStat& member : group.found) {
    SurvivorRecord record = {};
    record.stat = member;
    proc_.wchan(member.pid, record.wchan, sizeof record.wchan);
    record.held_by_tracer = proc_.tracer(member.pid) != 0;
    Fd pidfd(features_ & kFeaturePidfd ? sys_pidfd_open(member.pid) : -1);
    int r = signal_process(pidfd.get(), member.pid, 0);
    if (r == -ESRCH) continue;  // ended since the scan
    record.err = -r;
    group.report.survivors.push(record);
  }
  if (!group.report.survivors.empty()) return finish(group, false, Evidence::Census);
  bool unseen = !complete || !proc_.usable() || !leaf_empty(group);
  if (unseen || !group.ref.leader_exited) return finish(group, false, Evidence::Unverified);
  // SIGKILL reached the whole group, but the others of a session one by one.
  bool seen = !proc_.blind() && (!group.ref.session || exact);
  if (!group.ref.leader_reaped && (seen || !reap(group))) return finish(group, true, Evidence::Census);
  if (unseen_session(group)) return finish(group, false, Evidence::Unverified);
  int r = probe_group(group.ref);
  bool wide = group.ref.session || group.lost;
  if (r != -ESRCH && proc_.blind()) {
    group.report.notes |= kNoteProcUnreadable;
    return finish(group, false, Evidence::Unverified);
  }
  bool over = r == -ESRCH && (!wide || session_number(group) == NumberState::Free);
  if (over || wide) return finish(group, true, over ? Evidence::Esrch : Evidence::Unverified);
  if (r == -EPERM && group.found_zombies == 0) return finish(group, false, Evidence::Unverified);
  if (group.killed_at != 0 || (exact && group.found_zombies != 0)) return finish(group, true, Evidence::Census);
  if (group.found_zombies == 0) return finish(group, false, Evidence::Unverified);
  // Zombies answer for the group. A chain that lives would add to them: a second look tells.
  if (group.clean_scans > 0) {
    bool same = group.zombie_hash == group.last_zombie_hash;
    return finish(group, same, same ? Evidence::Census : Evidence::Unverified);
  }
  group.clean_scans = 1;
  group.last_zombie_hash = group.zombie_hash;
  group.final_due = true;
  request_census(group);
}

}  // namespace procgroup
