// The clone of a spawn, by the newest call and flags that are granted.
#pragma once
#include "child.h"
#include "spawn.h"

namespace procgroup {

// One clone with the best flags that are left; a refused mechanism is dropped for good and the next one tried.
long clone_once(SpawnContext& context, ChildPlan* plan, bool* used_clone3);

}  // namespace procgroup
