#include "clone.h"

#include <errno.h>

#include "kernel.h"

namespace procgroup {
namespace {

constexpr uint64_t kVm = 0x100, kFiles = 0x400, kPidfd = 0x1000, kVfork = 0x4000;  // CLONE_ flags

long clone_by(bool clone3, uint64_t flags, const SpawnContext& context, ChildPlan* plan) {
  // Read by interrupt() on other threads.
  __atomic_store_n(&plan->tells_pid, clone3, __ATOMIC_RELEASE);
  __atomic_store_n(&plan->pidfd, -1, __ATOMIC_RELEASE);
  __atomic_store_n(&plan->pid, 0, __ATOMIC_RELEASE);
  long r = clone3 ? clone3_child(flags, context.stack, plan) : clone_child(flags, context.stack, plan);
  // One that fails late has written the number of a descriptor that it closed again.
  if (r < 0) __atomic_store_n(&plan->pidfd, -1, __ATOMIC_RELEASE);
  return r;
}

// A refusal may be of the namespaces or of the call: nothing is dropped for good.
long clone_into_namespaces(const SpawnContext& context, uint64_t flags, ChildPlan* plan, bool* used_clone3) {
  *used_clone3 = context.features & kFeatureClone3;
  long r = *used_clone3 ? clone_by(true, flags | plan->namespaces, context, plan) : -ENOSYS;
  if (r != -ENOSYS && r != -EPERM && r != -EINVAL) return r;
  *used_clone3 = false;
  return clone_by(false, flags | plan->namespaces, context, plan);
}

}  // namespace

long clone_once(SpawnContext& context, ChildPlan* plan, bool* used_clone3) {
  for (;;) {
    uint64_t flags = kVfork;
    if (plan->uid == -1 && plan->gid == -1 && plan->group_count == -1) flags |= kVm;
    if (plan->unshare_from >= 0) flags |= kFiles;
    if (context.features & kFeatureClonePidfd) flags |= kPidfd;
    plan->stage = Stage::Clone;
    plan->error = 0;
    if (plan->namespaces != 0) return clone_into_namespaces(context, flags, plan, used_clone3);
    *used_clone3 = context.features & kFeatureClone3;
    long r = clone_by(*used_clone3, flags, context, plan);
    if (r >= 0) return r;
    bool refused = r == -ENOSYS || r == -EPERM || r == -EINVAL;
    if (refused && *used_clone3) {
      context.features &= ~kFeatureClone3;
    } else if (refused && (flags & kPidfd)) {
      context.features &= ~kFeatureClonePidfd;
    } else {
      return r;
    }
  }
}

}  // namespace procgroup
