// `procgroup sweep`: cgroups that were left behind.
#pragma once

namespace procgroup {

// `argv`: null-terminated, without the program's and the command's name.
[[noreturn]] void sweep_command(char** argv);

}  // namespace procgroup
