// Calls of an OpenAI-compatible endpoint, many at a time: answers that are in the store are taken
// from there, others are paid for once and stored before anybody sees them. Accidents are tried
// again, limits and a budget are kept, and a failed call gives no text.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "remote/budget.h"
#include "remote/call_store.h"
#include "remote/chat_call.h"
#include "remote/pace.h"

namespace etrlrec {

struct EndpointOptions {
  std::string base_url{};  // "https://api.example.org/v1"; /chat/completions is added
  std::string api_key{};   // empty: none is sent. Never in a message, a file or a log.
  std::string ca_file{};   // trusted certificates (PEM) instead of the system's
  int32_t concurrency = 4;
  double requests_per_minute = 0, tokens_per_minute = 0;  // 0: no limit
  BudgetOptions budget{};
  double timeout_seconds = 300;                      // of one call
  int32_t max_attempts = 6;                          // of one call
  double retry_seconds = 1, max_retry_seconds = 60;  // first and longest pause between them
  double max_retry_after = 3600;                     // a longer Retry-After ends the run
  int32_t max_failures = 10;  // calls that fail in a row, after which the run ends
  bool retry_failed = false;  // also calls that the server has refused for good
};

// The key in `file` (its only line), else in the environment variable; empty where neither is
// there. Errors (kUsage): a file without a key, a key with blanks or line ends inside. No message
// shows it.
std::string read_api_key(const std::string& file, const std::string& variable);

struct EndpointCounts {
  int64_t from_store = 0, answered = 0, failed = 0;  // calls
  int64_t requests = 0, retries = 0;                 // sent; retries of them
};

class ChatClient {
 public:
  // Warns where a key would go over plain HTTP to another machine. Errors (kUsage): a bad URL,
  // numbers below 1.
  ChatClient(EndpointOptions options, CallStore& store);
  // Replies in the order of the calls; nothing where a call failed (the store says why). Equal
  // calls are made once. `on_done` gets the number of calls that are done, from any thread, one at
  // a time. Errors, after all calls under way have ended and been stored: kResumable where the
  // budget does not suffice, kTeacher where the server refuses all calls or too many fail in a row.
  std::vector<std::optional<ChatReply>> answer(std::span<const ChatCall> calls,
                                               const std::function<void(int64_t)>& on_done = {});
  const EndpointCounts& counts() const { return counts_; }
  const Budget& budget() const { return budget_; }

 private:
  class Round;
  EndpointOptions options_;
  CallStore& store_;
  Budget budget_;
  Pace pace_;
  EndpointCounts counts_;
  int32_t failures_in_row_ = 0;
};

}  // namespace etrlrec
