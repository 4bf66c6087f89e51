// The guardian that the addon carries, for where its file is missing or may not be executed: in an archive, a bundle or
// a single executable, or without its exec bit.
#pragma once

namespace procgroup {

// A sealed file in memory that holds the guardian, made at the first call and open until the process ends; or a
// negative errno (EACCES: vm.memfd_noexec forbids it). Since Linux 3.17, memfd_create(2).
int carried_guardian();

}  // namespace procgroup
