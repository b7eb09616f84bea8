// tests/chat_server.py as a process that ends with the object.
#pragma once

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

extern char** environ;

namespace etrlrec {

class ChatServer {
 public:
  explicit ChatServer(const std::vector<std::string>& options) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return;
    std::vector<std::string> words{"python3",
                                   std::string(ETRLREC_SOURCE_DIR) + "/tests/chat_server.py"};
    words.insert(words.end(), options.begin(), options.end());
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    if (::posix_spawnp(&process_, "python3", &actions, nullptr, arguments.data(), environ) != 0)
      process_ = -1;
    ::posix_spawn_file_actions_destroy(&actions);
    ::close(ends[1]);
    if (FILE* out = ::fdopen(ends[0], "r"); out != nullptr) {
      if (std::fscanf(out, "%d", &port_) != 1) port_ = 0;
      std::fclose(out);
    }
  }
  ChatServer(const ChatServer&) = delete;
  ~ChatServer() {
    if (process_ <= 0) return;
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
  }

  bool runs() const { return port_ > 0; }
  int port() const { return port_; }
  std::string url(const std::string& scheme = "http") const {
    return fmt::format("{}://127.0.0.1:{}/v1", scheme, port_);
  }

 private:
  pid_t process_ = -1;
  int port_ = 0;
};

}  // namespace etrlrec
