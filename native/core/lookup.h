// Where execvp(3) would look, as a list for the child to try.
#pragma once
#include <fcntl.h>

#include "vec.h"

namespace procgroup {

struct Candidates {
  Vec<char> text;
  Vec<const char*> paths;  // null-terminated
};

// `path` is PATH of the child's own environment, or null. Entries that are relative count from `cwd` (or null). A name
// with a slash is its own only candidate. `unseen`: what exists here may not be what the child, under another uid, can
// see, so every entry is a candidate. Relative paths count from the directory `from`. Returns 0, or -ENOENT /
// -ENAMETOOLONG where no candidate exists.
int find_program(const char* file, const char* path, const char* cwd, Candidates* out, bool unseen = false,
                 int from = AT_FDCWD);

// The value of PATH in an environment block, or null.
const char* path_of(char* const* envp);

}  // namespace procgroup
