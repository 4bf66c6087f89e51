// The guardian in the service of an engine.
#pragma once
#include "leader.h"

namespace procgroup {

// Runs until the tree is empty and the supervisor has been told, or is dead. Returns the process's exit code.
int serve(int socket, int supervisor, const Command& command);

}  // namespace procgroup
