/*
 * Children of the measures, static.
 *
 *   child print           1 KiB to stdout, and out
 *   child notice          waits for a byte on stdin, says CLOCK_MONOTONIC in nanoseconds on stdout, and exits at once
 *   child write <bytes>   that many bytes to stdout
 *   child sit             until it is killed
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char block[65536];

int main(int argc, char** argv) {
  if (argc < 2) return 64;
  if (!strcmp(argv[1], "print")) {
    memset(block, 'x', 1024);
    return write(1, block, 1024) != 1024;
  }
  if (!strcmp(argv[1], "notice")) {
    struct timespec now;
    if (read(0, block, 1) < 0) return 70;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int size = snprintf(block, sizeof block, "%lld", (long long)now.tv_sec * 1000000000 + now.tv_nsec);
    _exit(write(1, block, (size_t)size) != size);
  }
  if (!strcmp(argv[1], "write") && argc == 3) {
    for (long long left = atoll(argv[2]); left > 0;) {
      ssize_t n = write(1, block, left < (long long)sizeof block ? (size_t)left : sizeof block);
      if (n < 0) return 71;
      left -= n;
    }
    return 0;
  }
  if (!strcmp(argv[1], "sit")) {
    for (;;) pause();
  }
  return 64;
}
