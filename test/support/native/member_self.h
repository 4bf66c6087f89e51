// `member self`: everything that exec handed to this process, as JSON.
#ifndef PROCGROUP_TEST_MEMBER_SELF_H
#define PROCGROUP_TEST_MEMBER_SELF_H

#include <dirent.h>

static const char* self_argv0;

static void print_text(const char* text) {
  putchar('"');
  for (; *text; text++) {
    if (*text == '"' || *text == '\\') putchar('\\');
    if ((unsigned char)*text >= 32) putchar(*text);
  }
  putchar('"');
}

static void print_limit(rlim_t value) {
  if (value == RLIM_INFINITY)
    printf("\"unlimited\"");
  else
    printf("%llu", (unsigned long long)value);
}

static void print_limits(void) {
  static const char* const names[RLIM_NLIMITS] = {
      [RLIMIT_AS] = "as",           [RLIMIT_CORE] = "core",     [RLIMIT_CPU] = "cpu",
      [RLIMIT_DATA] = "data",       [RLIMIT_FSIZE] = "fsize",   [RLIMIT_LOCKS] = "locks",
      [RLIMIT_MEMLOCK] = "memlock", [RLIMIT_NICE] = "nice",     [RLIMIT_MSGQUEUE] = "msgqueue",
      [RLIMIT_NOFILE] = "nofile",   [RLIMIT_NPROC] = "nproc",   [RLIMIT_RSS] = "rss",
      [RLIMIT_RTPRIO] = "rtprio",   [RLIMIT_RTTIME] = "rttime", [RLIMIT_SIGPENDING] = "sigpending",
      [RLIMIT_STACK] = "stack",
  };
  printf(",\"rlimits\":{");
  for (int i = 0; i < RLIM_NLIMITS; i++) {
    struct rlimit limit;
    getrlimit(i, &limit);
    printf("%s\"%s\":[", i ? "," : "", names[i]);
    print_limit(limit.rlim_cur);
    putchar(',');
    print_limit(limit.rlim_max);
    putchar(']');
  }
  putchar('}');
}

static void print_fds(void) {
  DIR* dir = opendir("/proc/self/fd");
  struct dirent* entry;
  const char* comma = "";
  printf(",\"fds\":{");
  while ((entry = readdir(dir))) {
    char target[PATH_MAX];
    if (entry->d_name[0] == '.' || atoi(entry->d_name) == dirfd(dir)) continue;
    ssize_t n = readlinkat(dirfd(dir), entry->d_name, target, sizeof target - 1);
    target[n < 0 ? 0 : n] = 0;
    printf("%s\"%s\":", comma, entry->d_name);
    print_text(target);
    comma = ",";
  }
  printf("}");
  closedir(dir);
}

// SigBlk, SigIgn, SigCgt and the rest of proc(5), as the kernel prints them.
static void print_status(void) {
  static const char* const keys[] = {"SigBlk:", "SigIgn:", "SigCgt:", "NoNewPrivs:"};
  char line[512];
  FILE* file = fopen("/proc/self/status", "re");
  while (file && fgets(line, sizeof line, file)) {
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
      size_t n = strlen(keys[i]);
      if (strncmp(line, keys[i], n) != 0) continue;
      printf(",\"%.*s\":", (int)n - 1, keys[i]);
      print_text(line + n + strspn(line + n, " \t"));
    }
  }
  if (file) fclose(file);
}

static void print_self(void) {
  char cwd[PATH_MAX] = "";
  int death = -1;
  int oom = 0;
  FILE* file = fopen("/proc/self/oom_score_adj", "re");
  if (file) {
    if (fscanf(file, "%d", &oom) != 1) oom = -9999;
    fclose(file);
  }
  mode_t mask = umask(0);
  umask(mask);
  prctl(PR_GET_PDEATHSIG, &death, 0, 0, 0);
  if (!getcwd(cwd, sizeof cwd)) cwd[0] = 0;
  errno = 0;
  printf("{\"pid\":%d,\"ppid\":%d,\"pgid\":%d,\"sid\":%d", (int)getpid(), (int)getppid(), (int)getpgrp(),
         (int)getsid(0));
  printf(",\"umask\":%d,\"nice\":%d,\"pdeathsig\":%d,\"oom\":%d", (int)mask, getpriority(PRIO_PROCESS, 0), death, oom);
  printf(",\"argv0\":");
  print_text(self_argv0);
  printf(",\"cwd\":");
  print_text(cwd);
  print_limits();
  print_fds();
  print_status();
  printf("}\n");
  fflush(stdout);
}

#endif
