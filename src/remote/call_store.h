// The answers of a teacher on disk: a file that only grows, one JSON line for each call, found
// again by the call's key. What was answered once is never asked again, whatever ended the program.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "remote/chat_call.h"

namespace etrlrec {

struct CallFailure {
  int status = 0;  // 0: no answer at all
  std::string message;
  int32_t attempts = 0;
  bool for_good = false;  // the server refused this call; asking again is up to the user
};

struct CallTotals {
  int64_t replies = 0, failed = 0, failed_for_good = 0;  // failed: calls without a reply so far
  TokenUsage usage;
  int64_t usage_estimated = 0;  // replies
};

// What is wrong with a file of calls, by kind, and how many lines were looked at.
struct CallAudit {
  int64_t lines = 0, replies = 0, failures = 0;
  std::map<std::string, int64_t> findings;
};

// The same for people who only look; failures by what they said.
struct CallCensus {
  CallTotals totals;
  std::map<std::string, int64_t> failures;
};

// For several threads of one process.
class CallStore {
 public:
  // Creates the file where there is none. A last line that was cut by a crash is cut off, with a
  // warning; error (kInput) for any other line that is no record.
  explicit CallStore(std::filesystem::path path);
  CallStore(const CallStore&) = delete;
  ~CallStore();

  std::optional<ChatReply> reply(const std::string& key) const;
  std::optional<CallFailure> failure(const std::string& key) const;  // of a call without a reply
  // Written and synced when they return. A second reply to a call is not written. Error (kFailure):
  // the disk is full; then the file is as it was.
  void add(const ChatCall& call, const std::string& key, const ChatReply& reply);
  void add_failure(const std::string& key, const CallFailure& failure);
  CallTotals totals() const;

 private:
  struct Place {
    uint64_t begin = 0;
    size_t bytes = 0;
  };
  void read_all();
  void take(std::string_view line, uint64_t begin, int64_t number);
  void append(const std::string& line);

  std::filesystem::path path_;
  int descriptor_ = -1;
  mutable std::mutex mutex_;
  uint64_t size_ = 0;
  std::unordered_map<std::string, Place> replies_;
  std::unordered_map<std::string, CallFailure> failures_;
  TokenUsage usage_;
  int64_t usage_estimated_ = 0;
};

// The replies of a file that others may be writing. Lines are read once, at the beginning; one that
// is being written is left out.
class ReplyReader {
 public:
  explicit ReplyReader(const std::filesystem::path& path);
  std::optional<ChatReply> reply(const std::string& key) const;
  const CallCensus& census() const { return census_; }

 private:
  std::unordered_map<std::string, ChatReply> replies_;
  CallCensus census_;
};
CallCensus count_calls(const std::filesystem::path& path);

// Reads every line again: keys that are not those of their calls, calls that were answered twice,
// failures that came after an answer, and a last line without an end.
CallAudit audit_calls(const std::filesystem::path& path);

}  // namespace etrlrec
