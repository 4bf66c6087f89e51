// The descriptors that this process shares with its caller and with the command.
#pragma once
#include <stddef.h>

namespace procgroup {

// Closes what the command was given: a copy here would keep its pipes open after it has closed them. Stderr stays for
// messages, and `own` (values below 0 are skipped; all others are at least 3).
void drop_command_descriptors(const int* own, size_t count);

// A copy at or above `lowest`, closed on exec. -1 with errno.
int duplicate(int fd, int lowest);
bool is_pipe(int fd);

}  // namespace procgroup
