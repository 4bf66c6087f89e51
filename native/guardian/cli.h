// The guardian as a command: `procgroup run`, and a container's entry point.
#pragma once

namespace procgroup {

// `argv`: the options and the command, null-terminated. Ends the process with the exit status.
[[noreturn]] void run_command(char** argv);

}  // namespace procgroup
