// The guardian in the service of an engine: see serve.cc for its loop and orders, news.cc for what it tells.
#pragma once
#include <sys/types.h>

#include "core/protocol.h"
#include "guard.h"

namespace procgroup {

class Service : public GuardListener {
 public:
  Service(int socket, int supervisor) : socket_(socket), supervisor_(supervisor), guard_(this) {}
  int run(const Command& command);

 private:
  void wait();
  bool read_config(Config* config);
  bool supervisor_dead();
  void drop_command_descriptors();
  void on_signals();
  void on_socket();
  void on_order(const OrderMessage& order);
  void supervisor_ended();
  // service_box.cc
  bool enter_box(const Config& config, int high_fd);
  void on_watch();
  void on_pause(bool on);
  void tell_paused(int err);
  void tell_usage(const Report& report);
  void send(NewsMessage& news, int fd = -1);
  bool send_now(const NewsMessage& news, int fd);
  void flush();
  void take_terminal_back();
  NewsMessage news(News type) {
    NewsMessage m = {};
    m.magic = kMagic, m.build = kBuild, m.type = type;
    return m;
  }

  void on_started(const Leader& leader) override;
  void on_failed(const Error& error) override;
  void on_exited(const WaitStatus& status) override;
  void on_stopped(int signal) override;
  void on_draining(Cause cause) override;
  void on_refused(int pid, int signal) override;
  void on_gone(const Report& report) override;

  Fd socket_;
  Fd supervisor_;
  Guard guard_;
  Vec<NewsMessage> unsent_;
  Fd tty_;
  pid_t tty_owner_ = 0;
  bool finished_ = false;
  int own_from_ = 0;      // our descriptors are at or above it
  bool dropped_ = false;  // the command's descriptors are not open here any more
  bool paused_ = false;   // as told
  int busy_rounds_ = 0;
  bool alone_ = false;                // the supervisor is dead
  uint64_t retry_deadline_ = kNever;  // of news that could not be sent, and not for want of room
};

}  // namespace procgroup
