// The client against a server process that is slow, wrong, limited, cuts connections and dies.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <set>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "chat_server.h"
#include "remote/chat_client.h"
#include "remote/http_client.h"

namespace etrlrec {
namespace {

constexpr const char* kKey = "sk-secret-0123456789";

class ChatClientServer : public testing::Test {
 protected:
  void SetUp() override {
    set_log_options({.quiet = true, .progress = false});
    root_ = fs::temp_directory_path() / fmt::format("etrlrec_client_{}", ::getpid());
    fs::remove_all(root_);
    fs::create_directories(root_);
  }
  void TearDown() override { fs::remove_all(root_); }

  static EndpointOptions options_for(const ChatServer& server) {
    EndpointOptions options;
    options.base_url = server.url();
    options.timeout_seconds = 5;
    options.retry_seconds = 0.005;
    options.max_retry_seconds = 0.02;
    options.max_attempts = 12;
    return options;
  }
  static std::vector<ChatCall> calls(int32_t count, int32_t first = 0) {
    std::vector<ChatCall> all;
    for (int32_t i = 0; i < count; ++i)
      all.push_back(
          {"m", {{"user", fmt::format("question {}", first + i)}}, R"({"max_tokens":9})"});
    return all;
  }
  std::string log() const { return (root_ / "paid.jsonl").string(); }
  fs::path store() const { return root_ / "calls.jsonl"; }
  // Of each call the number of answers that would have to be paid.
  std::map<std::string, int64_t> paid() const {
    std::map<std::string, int64_t> counts;
    if (fs::exists(log()))
      for_each_json_line(log(), [&](const Json& line, int64_t) { ++counts[line["key"]]; });
    return counts;
  }
  // The error of `call`, as code and message.
  static std::pair<ExitCode, std::string> error_of(const std::function<void()>& call) {
    try {
      call();
    } catch (const Error& error) {
      return {error.code(), error.what()};
    }
    return {ExitCode::kDone, ""};
  }

  fs::path root_;
};

#define START(server, ...)                                       \
  const ChatServer server(std::vector<std::string> __VA_ARGS__); \
  if (!server.runs()) GTEST_SKIP() << "python3 does not run the test server"

TEST_F(ChatClientServer, answers_in_order_whatever_happens_and_pays_once) {
  START(server, {"--log",          log(),
                 "--slow-seconds", "0.02",
                 "--fault",        "slow=0.05",
                 "--fault",        "html=0.04",
                 "--fault",        "empty=0.04",
                 "--fault",        "no-choices=0.04",
                 "--fault",        "torn-json=0.04",
                 "--fault",        "error-200=0.04",
                 "--fault",        "limit=0.04",
                 "--fault",        "limit-date=0.04",
                 "--fault",        "unavailable=0.04",
                 "--fault",        "conflict=0.04",
                 "--fault",        "cut-head=0.04",
                 "--fault",        "cut-body=0.04",
                 "--fault",        "stream=0.05",
                 "--fault",        "stream-cut=0.04"});
  const auto asked = calls(200);
  EndpointOptions options = options_for(server);
  options.concurrency = 8;
  options.max_attempts = 60;  // half of all attempts fail: of 200 calls one in twenty runs needs 13
  CallStore kept(store());
  ChatClient client(options, kept);
  const auto replies = client.answer(asked);
  std::set<std::string> texts;
  for (size_t i = 0; i < replies.size(); ++i) {
    ASSERT_TRUE(replies[i]) << i;
    EXPECT_TRUE(replies[i]->text.starts_with("echo ")) << replies[i]->text;
    EXPECT_TRUE(texts.insert(replies[i]->text).second);
    EXPECT_EQ(kept.reply(call_key(asked[i]))->text, replies[i]->text) << "of another call";
  }
  EXPECT_EQ(paid().size(), 200u);
  for (const auto& [key, times] : paid()) EXPECT_EQ(times, 1) << key;
  EXPECT_GT(client.counts().retries, 20);
  EXPECT_EQ(read_file(store()).find("POISON"), std::string::npos);
  const auto again = client.answer(asked);
  EXPECT_EQ(again[7]->text, replies[7]->text);
  EXPECT_EQ(client.counts().from_store, 200);
  EXPECT_EQ(paid().size(), 200u);
}

TEST_F(ChatClientServer, equal_calls_are_made_once) {
  START(server, {"--log", log()});
  auto asked = calls(2);
  asked.push_back(asked[0]);
  CallStore kept(store());
  const auto replies = ChatClient(options_for(server), kept).answer(asked);
  EXPECT_EQ(replies[0]->text, replies[2]->text);
  EXPECT_EQ(paid().size(), 2u);
}

TEST_F(ChatClientServer, a_refused_call_gives_no_text_and_is_asked_again_only_on_demand) {
  START(server, {"--first", "refuse", "--log", log()});
  EndpointOptions options = options_for(server);
  options.concurrency = 1;
  CallStore kept(store());
  const auto asked = calls(3);
  const auto replies = ChatClient(options, kept).answer(asked);
  EXPECT_FALSE(replies[0]);
  EXPECT_TRUE(replies[1] && replies[2]);
  EXPECT_EQ(kept.failure(call_key(asked[0]))->status, 400);
  EXPECT_TRUE(kept.failure(call_key(asked[0]))->for_good);
  EXPECT_FALSE(ChatClient(options, kept).answer(asked)[0]);
  EXPECT_EQ(paid().size(), 2u);
  options.retry_failed = true;
  EXPECT_TRUE(ChatClient(options, kept).answer(asked)[0]);
}

TEST_F(ChatClientServer, failures_in_a_row_end_the_run_and_it_continues_later) {
  EndpointOptions options;
  const auto asked = calls(30);
  {
    START(server, {"--fault", "unavailable=1"});
    options = options_for(server);
    options.max_attempts = 2;
    options.max_failures = 3;
    CallStore kept(store());
    const auto [code, message] = error_of([&] { ChatClient(options, kept).answer(asked); });
    EXPECT_EQ(code, ExitCode::kTeacher);
    EXPECT_NE(message.find("3 calls in a row failed"), message.npos) << message;
    EXPECT_LT(kept.totals().failed, 10);
    EXPECT_EQ(kept.totals().failed_for_good, 0);
  }
  START(server, {"--log", log()});
  options.base_url = server.url();
  CallStore kept(store());
  for (const auto& reply : ChatClient(options, kept).answer(asked)) EXPECT_TRUE(reply);
  EXPECT_EQ(kept.totals().failed, 0);
}

TEST_F(ChatClientServer, a_server_that_dies_half_way_costs_nothing_twice) {
  const auto asked = calls(60);
  EndpointOptions options;
  {
    START(server, {"--die-after", "25", "--log", log()});
    options = options_for(server);
    options.max_attempts = 2;
    options.max_failures = 2;
    CallStore kept(store());
    EXPECT_EQ(error_of([&] { ChatClient(options, kept).answer(asked); }).first, ExitCode::kTeacher);
    EXPECT_GT(kept.totals().replies, 10);
  }
  START(server, {"--log", log()});
  options.base_url = server.url();
  CallStore kept(store());
  for (const auto& reply : ChatClient(options, kept).answer(asked)) EXPECT_TRUE(reply);
  EXPECT_EQ(paid().size(), 60u);
  for (const auto& [key, times] : paid()) EXPECT_EQ(times, 1) << key;
  EXPECT_EQ(read_file(store()).find("POISON"), std::string::npos);
}

TEST_F(ChatClientServer, a_budget_stops_before_it_is_exceeded_and_continues) {
  START(server, {"--log", log()});  // each answer: 120 tokens
  EndpointOptions options = options_for(server);
  options.budget.max_tokens = 1300;
  CallStore kept(store());
  auto asked = calls(40);
  for (ChatCall& call : asked) call.parameters = R"({"max_tokens":150})";
  const auto [code, message] = error_of([&] { ChatClient(options, kept).answer(asked); });
  EXPECT_EQ(code, ExitCode::kResumable);
  EXPECT_NE(message.find("of 1300 tokens"), message.npos) << message;
  EXPECT_LE(kept.totals().usage.total(), 1300);
  EXPECT_GE(kept.totals().usage.total(), 600);
  const int64_t before = kept.totals().replies;
  EXPECT_EQ(error_of([&] { ChatClient(options, kept).answer(asked); }).first, ExitCode::kResumable);
  EXPECT_LE(kept.totals().usage.total(), 1300) << "earlier runs count";
  options.budget.max_tokens = 0;
  for (const auto& reply : ChatClient(options, kept).answer(asked)) EXPECT_TRUE(reply);
  EXPECT_EQ(paid().size(), 40u);
  EXPECT_LT(before, 40);
}

TEST_F(ChatClientServer, obeys_retry_after_and_requests_per_minute) {
  START(server, {"--first", "limit", "--retry-after", "1"});
  EndpointOptions options = options_for(server);
  CallStore kept(store());
  const auto begin = std::chrono::steady_clock::now();
  const auto seconds = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  EXPECT_TRUE(ChatClient(options, kept).answer(calls(1))[0]);
  EXPECT_GE(seconds(), 1.0);
  const double before = seconds();
  options.requests_per_minute = 600;
  ChatClient(options, kept).answer(calls(6, 10));
  EXPECT_GE(seconds() - before, 0.5);
  options.max_retry_after = 0.5;
  START(slow, {"--first", "limit", "--retry-after", "1"});
  options.base_url = slow.url();
  EXPECT_EQ(error_of([&] { ChatClient(options, kept).answer(calls(1, 20)); }).first,
            ExitCode::kTeacher);
}

TEST_F(ChatClientServer, a_dripping_server_is_left_in_time) {
  START(server, {"--first", "drip"});
  EndpointOptions options = options_for(server);
  options.timeout_seconds = 0.5;
  CallStore kept(store());
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(ChatClient(options, kept).answer(calls(1))[0]);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(4));
}

TEST_F(ChatClientServer, a_key_is_sent_and_never_shown) {
  START(server, {"--key", kKey, "--fault", "quote-key=0.5"});
  EndpointOptions options = options_for(server);
  CallStore kept(store());
  const auto refused = error_of([&] { ChatClient(options, kept).answer(calls(2)); });
  EXPECT_EQ(refused.first, ExitCode::kTeacher);
  EXPECT_NE(refused.second.find("status 401"), std::string::npos) << refused.second;
  options.api_key = "sk-wrong-key";
  EXPECT_EQ(error_of([&] { ChatClient(options, kept).answer(calls(2)); }).second.find("sk-wrong"),
            std::string::npos);
  options.api_key = kKey;
  options.max_attempts = 1;
  options.max_failures = 100;
  ChatClient(options, kept).answer(calls(20));
  EXPECT_GT(kept.totals().failed, 0);
  EXPECT_GT(kept.totals().replies, 0);
  EXPECT_EQ(read_file(store()).find(kKey), std::string::npos);
  EXPECT_NE(read_file(store()).find("[key]"), std::string::npos);
}

TEST_F(ChatClientServer, a_key_comes_from_a_file_or_the_environment) {
  const std::string file = root_ / "key";
  write_file_atomic(file, std::string(kKey) + "\n");
  EXPECT_EQ(read_api_key(file, ""), kKey);
  ::setenv("ETRLREC_TEST_KEY", "from-environment", 1);
  EXPECT_EQ(read_api_key("", "ETRLREC_TEST_KEY"), "from-environment");
  ::unsetenv("ETRLREC_TEST_KEY");
  EXPECT_EQ(read_api_key("", "ETRLREC_TEST_KEY"), "");
  for (const char* content : {"", "\n", "two words", "two\nlines"}) {
    write_file_atomic(file, content);
    const auto [code, message] = error_of([&] { read_api_key(file, ""); });
    EXPECT_EQ(code, ExitCode::kUsage) << content;
    EXPECT_EQ(message.find("two"), message.npos) << message;
  }
}

TEST_F(ChatClientServer, follows_no_redirect_to_another_server) {
  for (const char* target : {"http://127.0.0.1:1/v1/chat/completions", "//127.0.0.1/x",
                             "https://example.org/v1/chat/completions"}) {
    START(server, {"--redirect", target, "--status", "500"});
    CallStore kept(store());
    EndpointOptions options = options_for(server);
    const auto [code, message] = error_of([&] { ChatClient(options, kept).answer(calls(1)); });
    EXPECT_EQ(code, ExitCode::kTeacher) << target;
    EXPECT_NE(message.find("redirect"), message.npos) << message;
  }
}

TEST_F(ChatClientServer, verifies_the_certificate) {
  const std::string certificate = root_ / "cert.pem", key = root_ / "key.pem";
  const std::string command = fmt::format(
      "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext "
      "subjectAltName=IP:127.0.0.1 -keyout {} -out {} >/dev/null 2>&1",
      key, certificate);
  if (std::system(command.c_str()) != 0) GTEST_SKIP() << "no openssl to make a certificate";
  START(server, {"--cert", certificate, "--private-key", key});
  EndpointOptions options = options_for(server);
  options.base_url = server.url("https");
  CallStore kept(store());
  const auto [code, message] = error_of([&] { ChatClient(options, kept).answer(calls(1)); });
  EXPECT_EQ(code, ExitCode::kTeacher);
  EXPECT_NE(message.find("certificate"), message.npos) << message;
  options.ca_file = certificate;
  EXPECT_TRUE(ChatClient(options, kept).answer(calls(1))[0]);
  options.ca_file = root_ / "missing.pem";
  EXPECT_EQ(error_of([&] { ChatClient(options, kept).answer(calls(1, 1)); }).first,
            ExitCode::kTeacher);
}

}  // namespace
}  // namespace etrlrec
