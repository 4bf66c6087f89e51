// The engine of the process: one thread with the loop, spawner threads, and the queues between them and the
// Environments. Made at first use, never destroyed: its threads outlive every Environment, and nothing at exit may pull
// a lock away from under them.
#pragma once
#include <pthread.h>

#include <atomic>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "core/protocol.h"
#include "core/reaper.h"
#include "core/spawn.h"
#include "core/supervisor.h"
#include "events.h"

namespace procgroup {

class Environment;

struct Killer {
  std::vector<std::string> command;
  std::vector<std::string> environment;  // as it was when the group was started
  uint64_t timeout_ns = 0;
};

// One unit of work for a spawner thread. The strings own what `request` points to.
struct Job {
  enum class Kind { Spawn, Holders } kind = Kind::Spawn;
  uint32_t environment = 0;
  uint32_t ticket = 0;
  SpawnRequest request;
  GroupOptions options;
  std::shared_ptr<const Killer> killer;
  bool contain_group = true;  // else the leader alone
  bool held = true;
  uint64_t killer_for = 0;
  int killer_signal = 0;
  uint64_t inode = 0;  // Holders
  std::string file, cwd, argv_block, env_block, path_block;
  std::vector<char*> argv, envp;
  std::vector<int> owned_fds;
  // Containment `tree`: `request` starts the guardian, which gets this before it is born and starts the command.
  std::unique_ptr<Config> tree;
  std::string guardian_path, guard_word, mark;
  // Containment `cgroup`: where the leaf goes (empty: found), files and values for it, and the leaf's path once named.
  std::string cgroup_parent, limit_block, leaf;
  bool move_supervisor = false;
  Fd socket;  // our end, from prepare_tree on
  Fd tty;
  pid_t tty_owner = 0;

  bool cancelled = false;     // guarded by the engine's lock
  ChildPlan* plan = nullptr;  // while a clone is under way; guarded by the engine's lock

  void close_descriptors();
  ~Job() { close_descriptors(); }
};

// A thread of our own, with every signal blocked. 0 or a negative errno.
int start_detached(void* (*main)(void*), void* argument, size_t stack);

class Engine final : Listener {
 public:
  // The engine of this process; on the first call it is started. Null with a negative errno where that failed.
  static Engine* get(int* error, const std::string& disabled);
  // Null where it was never started.
  static Engine* peek();

  // Environments. An id is never used twice.
  uint32_t add_environment(Environment* environment);
  // Whatever it still holds enters teardown; none of its events is delivered any more.
  void remove_environment(uint32_t id);

  void submit(std::unique_ptr<Job> job);
  // sync_spawn.cc. As submit(), but returns with what would have been posted: Spawned or Failed. The leader alone is
  // cloned on the calling thread, whatever is contained on a thread that lives as long as the process.
  Event spawn_now(std::unique_ptr<Job> job);
  // The leader alone, however large the group. 0 or a negative errno.
  int signal_leader_of(uint64_t id, int sig);
  // Before spawn settled. What was started meanwhile is killed; Failed (ECANCELED) follows when nothing is left.
  void cancel(uint32_t environment, uint32_t ticket);

  // On a group; false where it is gone.
  bool begin(uint64_t id, Cause cause, bool kill);
  bool signal(uint64_t id, int sig, SignalResult* out);
  bool ask_members(uint64_t id);
  bool release(uint64_t id);
  bool renew(uint64_t id, uint64_t lease_ns);  // false: a teardown had begun
  int pause(uint64_t id, bool on);
  int watch_stops(uint64_t id);
  uint64_t attach(pid_t pgid, GroupOptions&& options, std::shared_ptr<const Killer> killer, uint32_t environment,
                  uint32_t ticket, GroupRef* placement, int* error);

  // PidfdReady once `fd` is readable. The caller keeps `fd` open until then, or calls forget_pidfd.
  int watch_pidfd(int fd, uint32_t environment, uint32_t ticket);
  void forget_pidfd(int fd, uint32_t environment, uint32_t ticket);

  // At the end of the process: everything held is torn down, with capped graces; bounded.
  void shut_down();

  uint32_t features() const { return features_; }
  const ProbeResult& probe() const { return probe_; }
  static uint32_t features_named(const std::string& list);  // names of kernel features, separated by commas

 private:
  struct Spawner;
  struct Waiter;
  struct Caller;
  struct Waiting;
  struct PidfdWatch {
    int fd;
    uint32_t environment, ticket, generation;
  };

  Engine();
  int start(const std::string& disabled);
  static void* loop_main(void* self);
  static void* spawner_main(void* self);
  static void* exit_waiter_main(void* waiter);
  static void* stop_waiter_main(void* waiter);
  void loop();
  void run_spawner(Spawner* spawner);
  void run_holders(const Job& job);
  Error prepare_tree(Job* job);
  Error prepare_box(Job* job);
  static Error name_cgroup(Job* job, std::string* words, int* directory);
  void tree_spawned(Job* job, SpawnResult* result);
  void settle_tree(Group& group, Event* event);
  void spawned(std::unique_ptr<Job> job, SpawnResult* result, SpawnContext* context);
  int start_waiter(void* (*main)(void*), Waiter* waiter);
  void interrupt(Job* job);
  void grow_spawners();
  void spawn_here(std::unique_ptr<Job> job);
  bool told_caller(uint32_t environment, Event* event);
  void wake_for_deadline();
  void post(uint32_t environment, Event&& event);
  void post_failed(uint32_t environment, uint32_t ticket, const Error& error, const char* leaf = "");
  void unlock_and_notify();

  void on_started(Group& group) override;
  void on_failed(Group& group, const Error& error) override;
  void on_stop_state(Group& group, int signal) override;
  void on_leader_exit(Group& group) override;
  void on_draining(Group& group) override;
  void on_gone(Group& group) override;
  void on_members(Group& group) override;
  void on_paused(Group& group, bool paused, int err) override;
  bool start_killer(Group& group, int signal, const Vec<pid_t>& pids) override;
  void unlock() override { pthread_mutex_unlock(&mutex_); }
  void lock() override { pthread_mutex_lock(&mutex_); }

  pthread_mutex_t mutex_;
  pthread_cond_t jobs_ready_;
  pthread_cond_t clones_moved_;
  pthread_cond_t drained_;
  pthread_cond_t told_;
  pthread_cond_t woken_;
  Reaper reaper_;
  Supervisor supervisor_;
  ProbeResult probe_;
  std::atomic<uint32_t> features_{0};
  int high_fd_ = -1;
  uint64_t sleeping_until_ = 0;  // the loop's deadline while it waits, kNever: none
  bool shutting_down_ = false;
  std::deque<std::unique_ptr<Job>> jobs_;
  std::vector<Job*> running_;
  std::vector<Spawner*> spawners_;
  std::vector<Caller*> idle_callers_;
  std::vector<Waiting*> waiting_;  // threads within spawn_now()
  int idle_spawners_ = 0;
  int called_spawners_ = 0;  // of the idle ones, signalled and not yet awake
  int clone_waiters_ = 0;
  uint64_t last_clone_end_ = 0;
  bool interrupt_again_ = false;
  std::vector<uint64_t> waitable_;  // ids whose exit a waiting thread saw
  std::vector<Environment*> environments_;
  uint32_t next_environment_ = 0;
  std::atomic<int> ending_environments_{0};
  std::vector<std::pair<uint64_t, std::shared_ptr<const Killer>>> killers_;  // by group id
  // Our ends of the pipes of commands that have not been heard of yet, by group id.
  std::vector<std::pair<uint64_t, std::vector<int>>> starting_;
  Fd self_pidfd_;  // guardians inherit it: below the line of engine descriptors
  std::vector<PidfdWatch> pidfd_watches_;
  uint32_t pidfd_generation_ = 0;
};

}  // namespace procgroup
