// The parts of remote calls that need no server: addresses, keys, answers, retries, pace, budget.
#include <gtest/gtest.h>

#include "base/check.h"
#include "base/json.h"
#include "refusal.h"
#include "remote/budget.h"
#include "remote/chat_call.h"
#include "remote/http_client.h"
#include "remote/pace.h"
#include "remote/retry.h"

namespace etrlrec {
namespace {

TEST(BaseUrl, is_an_origin_and_a_path) {
  EXPECT_EQ(parse_base_url("https://api.example.org/v1/").origin, "https://api.example.org");
  EXPECT_EQ(parse_base_url("https://api.example.org/v1/").path, "/v1");
  EXPECT_EQ(parse_base_url("HTTP://localhost:8000").origin, "http://localhost:8000");
  EXPECT_EQ(parse_base_url("http://localhost:8000").path, "");
  EXPECT_EQ(parse_base_url("http://[::1]:80/a/b").origin, "http://[::1]:80");
}

TEST(BaseUrl, refuses_what_is_no_address_and_never_shows_a_password) {
  for (const char* url : {"", "api.example.org/v1", "ftp://a/b", "http://", "http:///v1",
                          "http://:80/", "http://a:b/", "http://a:123456/", "http://a:/",
                          "http://a b/", "http://a/v1?key=x", "http://a/\n"})
    EXPECT_NE(usage_refusal([&] { parse_base_url(url); }), "") << url;
  const std::string said = usage_refusal([] { parse_base_url("https://me:secret@a/v1"); });
  EXPECT_NE(said.find("password"), said.npos);
  EXPECT_EQ(said.find("secret"), said.npos);
}

ChatCall example_call() {
  return {"m", {{"system", "s"}, {"user", "u"}}, R"({"temperature": 0.5, "max_tokens": 7})"};
}

TEST(ChatCall, key_depends_on_everything_but_the_order_of_parameters) {
  const std::string key = call_key(example_call());
  ChatCall call = example_call();
  call.parameters = R"({"max_tokens":7,"temperature":0.5})";
  EXPECT_EQ(call_key(call), key);
  call.draw = 1;
  EXPECT_NE(call_key(call), key);
  call = example_call();
  call.model = "n";
  EXPECT_NE(call_key(call), key);
  call = example_call();
  call.messages[1].content = "v";
  EXPECT_NE(call_key(call), key);
  call = example_call();
  call.parameters = R"({"temperature": 0.5, "max_tokens": 8})";
  EXPECT_NE(call_key(call), key);
}

TEST(ChatCall, body_has_no_nulls_and_no_draw) {
  ChatCall call = example_call();
  call.parameters = R"({"temperature": null, "max_tokens": 7})";
  call.draw = 3;
  EXPECT_EQ(call_body(call),
            R"({"max_tokens":7,"messages":[{"content":"s","role":"system"},{"content":"u",)"
            R"("role":"user"}],"model":"m"})");
  EXPECT_EQ(most_usage(call).completion_tokens, 7);
  EXPECT_EQ(most_usage(call).prompt_tokens, 16);
}

struct Answer {
  const char* body;
  const char* text;  // null: no reply
  const char* more;  // thinking, or a part of the error
};

TEST(ChatCall, answers_are_read_or_refused) {
  constexpr Answer kAnswers[] = {
      {R"({"choices":[{"message":{"content":"a"},"finish_reason":"stop"}]})", "a", ""},
      {R"({"choices":[{"message":{"content":"a","reasoning_content":"t"}}]})", "a", "t"},
      {R"({"choices":[{"message":{"content":"a","reasoning":"t"}}]})", "a", "t"},
      {R"({"choices":[{"message":{"content":null,"refusal":"no"}}]})", "", ""},
      {R"({"choices":[{"message":{"content":[{"type":"text","text":"a"},{"text":"b"}]}}]})", "ab",
       ""},
      {R"({"choices":[]})", nullptr, "no choices"},
      {R"({"choices":[{"finish_reason":"stop"}]})", nullptr, "no choices"},
      {R"({"choices":[{"message":{"content":"a"},"finish_reason":"error"}]})", nullptr, "error"},
      {R"({"error":{"message":"busy"}})", nullptr, "busy"},
      {R"({"error":"busy"})", nullptr, "busy"},
      {R"([1])", nullptr, "no JSON object"},
      {R"({"choices":[{"message":{"content":"a"}}])", nullptr, "no JSON object"},
      {"", nullptr, "no JSON object"},
  };
  for (const Answer& answer : kAnswers) {
    const ReadReply read = read_reply(answer.body, "application/json", example_call());
    ASSERT_EQ(read.reply.has_value(), answer.text != nullptr) << answer.body;
    if (answer.text == nullptr) {
      EXPECT_NE(read.error.find(answer.more), read.error.npos) << answer.body << read.error;
      continue;
    }
    EXPECT_EQ(read.reply->text, answer.text) << answer.body;
    EXPECT_EQ(read.reply->thinking, answer.more) << answer.body;
  }
  const std::string deep(100000, '[');
  EXPECT_FALSE(read_reply(deep, "", example_call()).reply);
  EXPECT_FALSE(read_reply("{\"error\":" + deep, "", example_call()).reply);
}

TEST(ChatCall, usage_is_read_or_estimated) {
  const char* with = R"({"choices":[{"message":{"content":"12345678"}}],
                         "usage":{"prompt_tokens":5,"completion_tokens":6}})";
  const ReadReply read = read_reply(with, "", example_call());
  EXPECT_EQ(read.reply->usage.total(), 11);
  EXPECT_FALSE(read.reply->usage_estimated);
  for (const char* usage : {"null", R"({"prompt_tokens":-5,"completion_tokens":6})",
                            R"({"prompt_tokens":5})", R"({"prompt_tokens":"5"})"}) {
    const std::string body =
        fmt::format(R"({{"choices":[{{"message":{{"content":"12345678"}}}}],"usage":{}}})", usage);
    const ReadReply estimated = read_reply(body, "", example_call());
    EXPECT_TRUE(estimated.reply->usage_estimated) << usage;
    EXPECT_EQ(estimated.reply->usage.completion_tokens, 2) << usage;
  }
}

TEST(ChatCall, streams_count_where_they_are_complete) {
  const std::string begin =
      "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n"
      ": comment\n"
      "data: {\"choices\":[{\"delta\":{\"content\":\"b\"},"
      "\"finish_reason\":\"stop\"}]}\r\n\r\n";
  const auto read = [](const std::string& body) {
    return read_reply(body, "text/event-stream; charset=utf-8", example_call());
  };
  EXPECT_EQ(read(begin + "data: [DONE]\n\n").reply->text, "ab");
  EXPECT_FALSE(read(begin).reply);
  EXPECT_FALSE(read("data: [DONE]\n\n").reply);
  EXPECT_FALSE(read(begin + "data: {\"choi").reply);
  EXPECT_FALSE(read("data: {\"error\":\"x\"}\n\n" + begin + "data: [DONE]\n\n").reply);
}

TEST(Retry, of_accidents_only) {
  for (const int status : {408, 409, 429, 500, 502, 503, 504, 529}) {
    EXPECT_TRUE(is_retryable(status)) << status;
    EXPECT_FALSE(refuses_every_call(status)) << status;
  }
  for (const int status : {200, 301, 400, 401, 403, 404, 413, 422, 600})
    EXPECT_FALSE(is_retryable(status)) << status;
  EXPECT_TRUE(refuses_every_call(401));
  EXPECT_FALSE(refuses_every_call(400));
}

TEST(Retry, after_what_the_server_asks_for) {
  EXPECT_EQ(retry_after_seconds("120", 0), 120);
  EXPECT_EQ(retry_after_seconds(" 0.5 ", 0), 0.5);
  EXPECT_EQ(retry_after_seconds("Thu, 01 Jan 1970 00:01:40 GMT", 40), 60);
  EXPECT_EQ(retry_after_seconds("Thu, 01 Jan 1970 00:01:40 GMT", 4000), 0);
  for (const char* text :
       {"", "soon", "-3", "1.2.3", ".", "1e9", "9999999999", "Thu, 01 Jan 1970 00:01:40 GMT+1"})
    EXPECT_FALSE(retry_after_seconds(text, 0)) << text;
}

TEST(Retry, waits_longer_each_time_up_to_a_limit) {
  EXPECT_EQ(retry_delay(0, 1, 60, 0), 0.5);
  EXPECT_EQ(retry_delay(0, 1, 60, 1), 1);
  EXPECT_EQ(retry_delay(3, 1, 60, 1), 8);
  EXPECT_EQ(retry_delay(9, 1, 60, 1), 60);
  EXPECT_EQ(retry_delay(1000, 1, 60, 0), 30);
}

TEST(Pace, spreads_requests_and_tokens_over_the_minute) {
  Pace pace(60, 600);
  EXPECT_EQ(pace.reserve(100, 5), 100);
  EXPECT_EQ(pace.reserve(100, 30), 101);  // the next request
  EXPECT_EQ(pace.reserve(100, 10), 104);  // 30 tokens take 3 s
  pace.settle(10, 0);
  EXPECT_EQ(pace.reserve(100, 10), 105);
  pace.hold_until(200);
  EXPECT_EQ(pace.reserve(100, 0), 200);
  Pace free(0, 0);
  EXPECT_EQ(free.reserve(7, 1000), 7);
  EXPECT_EQ(free.reserve(7, 1000), 7);
  EXPECT_THROW(Pace(-1, 0), Error);
}

TEST(Budget, lets_no_call_start_that_could_exceed_it) {
  Budget budget({.max_tokens = 100}, {10, 10});
  EXPECT_TRUE(budget.reserve({30, 30}));
  EXPECT_FALSE(budget.reserve({20, 1}));
  EXPECT_TRUE(budget.reserve({20, 0}));
  budget.settle({30, 30}, {5, 5});
  EXPECT_EQ(budget.spent().total(), 30);
  EXPECT_TRUE(budget.reserve({50, 0}));
  EXPECT_FALSE(budget.reserve({1, 0}));
  EXPECT_EQ(budget.text(), "30 of 100 tokens");
}

TEST(Budget, counts_money) {
  Budget budget({.max_money = 1, .prices = {1, 10}}, {});
  EXPECT_TRUE(budget.reserve({500'000, 50'000}));
  EXPECT_FALSE(budget.reserve({0, 1}));
  budget.settle({500'000, 50'000}, {500'000, 10'000});
  EXPECT_DOUBLE_EQ(budget.money(), 0.6);
  EXPECT_EQ(budget.text(), "510000 tokens, 0.6000 of 1.0000 in money");
  EXPECT_NE(usage_refusal([] { Budget({.max_money = 1}, {}); }), "");
  EXPECT_NE(usage_refusal([] { Budget({.max_tokens = -1}, {}); }), "");
}

}  // namespace
}  // namespace etrlrec
