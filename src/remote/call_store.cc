#include "remote/call_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <unordered_set>
#include <utility>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"

namespace etrlrec {
namespace {

std::string reply_line(const ChatCall& call, const std::string& key, const ChatReply& reply) {
  OrderedJson messages = OrderedJson::array();
  for (const ChatMessage& message : call.messages)
    messages.push_back({{"role", message.role}, {"content", message.content}});
  OrderedJson answer = {{"text", reply.text}, {"finish_reason", reply.finish_reason}};
  if (!reply.thinking.empty()) answer["thinking"] = reply.thinking;
  answer["prompt_tokens"] = reply.usage.prompt_tokens;
  answer["completion_tokens"] = reply.usage.completion_tokens;
  if (reply.usage_estimated) answer["usage_estimated"] = true;
  const OrderedJson line = {{"key", key},
                            {"model", call.model},
                            {"parameters", OrderedJson::parse(call.parameters)},
                            {"draw", call.draw},
                            {"messages", messages},
                            {"reply", answer}};
  return line.dump(-1, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

std::string failure_line(const std::string& key, const CallFailure& failure) {
  const OrderedJson line = {{"key", key},
                            {"failed",
                             {{"status", failure.status},
                              {"message", failure.message},
                              {"attempts", failure.attempts},
                              {"for_good", failure.for_good}}}};
  return line.dump(-1, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

ChatReply read_stored_reply(const Json& line, const std::string& name) {
  const Json answer = get<Json>(line, "reply", name);
  ChatReply reply;
  reply.text = get<std::string>(answer, "text", name);
  reply.finish_reason = get<std::string>(answer, "finish_reason", name);
  reply.thinking = get_or<std::string>(answer, "thinking", "", name);
  reply.usage = {get<int64_t>(answer, "prompt_tokens", name),
                 get<int64_t>(answer, "completion_tokens", name)};
  reply.usage_estimated = get_or<bool>(answer, "usage_estimated", false, name);
  return reply;
}

CallFailure read_stored_failure(const Json& line, const std::string& name) {
  const Json failed = get<Json>(line, "failed", name);
  return {get<int>(failed, "status", name), get<std::string>(failed, "message", name),
          get<int32_t>(failed, "attempts", name), get<bool>(failed, "for_good", name)};
}

// The call as it was stored, without regard to its key.
ChatCall stored_call(const Json& line, const std::string& name) {
  ChatCall call{get<std::string>(line, "model", name),
                {},
                get<Json>(line, "parameters", name).dump(),
                get<int32_t>(line, "draw", name)};
  for (const Json& message : get<Json>(line, "messages", name))
    call.messages.push_back(
        {get<std::string>(message, "role", name), get<std::string>(message, "content", name)});
  return call;
}

}  // namespace

CallStore::CallStore(fs::path path) : path_(std::move(path)) {
  descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  CHECK(descriptor_ >= 0, kInput, "{}: cannot open: {}", path_.string(), std::strerror(errno));
  read_all();
}

CallStore::~CallStore() { ::close(descriptor_); }

void CallStore::read_all() {
  const MappedFile file(path_);
  const std::string_view text = file.text();
  uint64_t begin = 0;
  for (int64_t number = 1; begin < text.size(); ++number) {
    const size_t end = text.find('\n', begin);
    const std::string_view line = text.substr(begin, end - begin);
    const bool last = end == text.npos || end + 1 == text.size();
    // A crash may leave part of a line, or a line of which not all pages came to the disk.
    if (end == text.npos || (last && !Json::accept(line))) {
      log_warning("{}: line {} was cut by a crash; it is removed, and its call made again",
                  path_.string(), number);
      CHECK(::ftruncate(descriptor_, static_cast<off_t>(begin)) == 0, kFailure,
            "{}: cannot be cut: {}", path_.string(), std::strerror(errno));
      break;
    }
    take(line, begin, number);
    begin = end + 1;
  }
  size_ = begin;
}

void CallStore::take(std::string_view line, uint64_t begin, int64_t number) {
  const std::string name = fmt::format("{}:{}", path_.string(), number);
  const Json record = parse_json(line, name);
  const auto key = get<std::string>(record, "key", name);
  if (record.contains("failed")) {
    if (!replies_.contains(key)) failures_[key] = read_stored_failure(record, name);
    return;
  }
  const ChatReply reply = read_stored_reply(record, name);
  // A call that was answered twice was also paid twice.
  usage_.prompt_tokens += reply.usage.prompt_tokens;
  usage_.completion_tokens += reply.usage.completion_tokens;
  usage_estimated_ += reply.usage_estimated;
  replies_.emplace(key, Place{begin, line.size()});
  failures_.erase(key);
}

std::optional<ChatReply> CallStore::reply(const std::string& key) const {
  Place place;
  {
    const std::lock_guard lock(mutex_);
    const auto found = replies_.find(key);
    if (found == replies_.end()) return std::nullopt;
    place = found->second;
  }
  std::string line(place.bytes, '\0');
  for (size_t done = 0; done < line.size();) {
    const ssize_t bytes = ::pread(descriptor_, line.data() + done, line.size() - done,
                                  static_cast<off_t>(place.begin + done));
    if (bytes < 0 && errno == EINTR) continue;
    CHECK(bytes > 0, kInput, "{}: cannot read: {}", path_.string(), std::strerror(errno));
    done += static_cast<size_t>(bytes);
  }
  return read_stored_reply(parse_json(line, path_.string()), path_.string());
}

std::optional<CallFailure> CallStore::failure(const std::string& key) const {
  const std::lock_guard lock(mutex_);
  const auto found = failures_.find(key);
  return found == failures_.end() ? std::nullopt : std::optional(found->second);
}

// In one piece where the system lets it, so that a kill leaves a torn line at most at the end.
void CallStore::append(const std::string& line) {
  for (size_t done = 0; done < line.size();) {
    const ssize_t bytes = ::write(descriptor_, line.data() + done, line.size() - done);
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes <= 0) {
      const std::string reason = std::strerror(errno);
      const bool cut = ::ftruncate(descriptor_, static_cast<off_t>(size_)) == 0;
      fail(ExitCode::kFailure, "{}: cannot write: {}{}", path_.string(), reason,
           cut ? "" : "; its last line is torn");
    }
    done += static_cast<size_t>(bytes);
  }
  CHECK(::fdatasync(descriptor_) == 0, kFailure, "{}: cannot sync: {}", path_.string(),
        std::strerror(errno));
  size_ += line.size();
}

void CallStore::add(const ChatCall& call, const std::string& key, const ChatReply& reply) {
  const std::string line = reply_line(call, key, reply);
  const std::lock_guard lock(mutex_);
  if (replies_.contains(key)) return;
  const uint64_t begin = size_;
  append(line);
  replies_.emplace(key, Place{begin, line.size() - 1});
  failures_.erase(key);
  usage_.prompt_tokens += reply.usage.prompt_tokens;
  usage_.completion_tokens += reply.usage.completion_tokens;
  usage_estimated_ += reply.usage_estimated;
}

void CallStore::add_failure(const std::string& key, const CallFailure& failure) {
  const std::lock_guard lock(mutex_);
  if (replies_.contains(key)) return;
  append(failure_line(key, failure));
  failures_[key] = failure;
}

CallTotals CallStore::totals() const {
  const std::lock_guard lock(mutex_);
  CallTotals totals;
  totals.replies = static_cast<int64_t>(replies_.size());
  totals.failed = static_cast<int64_t>(failures_.size());
  for (const auto& [key, failure] : failures_) totals.failed_for_good += failure.for_good;
  totals.usage = usage_;
  totals.usage_estimated = usage_estimated_;
  return totals;
}

ReplyReader::ReplyReader(const fs::path& path) {
  std::unordered_map<std::string, CallFailure> failures;
  const MappedFile file(path);
  std::string_view rest = file.text();
  CallTotals& totals = census_.totals;
  for (size_t end = rest.find('\n'); end != rest.npos; end = rest.find('\n')) {
    const Json record = parse_json(rest.substr(0, end), path.string());
    rest.remove_prefix(end + 1);
    const auto key = get<std::string>(record, "key", path.string());
    if (record.contains("failed")) {
      if (!replies_.contains(key)) failures[key] = read_stored_failure(record, path.string());
      continue;
    }
    ChatReply reply = read_stored_reply(record, path.string());
    totals.usage.prompt_tokens += reply.usage.prompt_tokens;
    totals.usage.completion_tokens += reply.usage.completion_tokens;
    totals.usage_estimated += reply.usage_estimated;
    replies_.emplace(key, std::move(reply));
    failures.erase(key);
  }
  totals.replies = static_cast<int64_t>(replies_.size());
  totals.failed = static_cast<int64_t>(failures.size());
  for (const auto& [key, failure] : failures) {
    totals.failed_for_good += failure.for_good;
    ++census_.failures[failure.status == 0
                           ? failure.message
                           : fmt::format("status {}: {}", failure.status, failure.message)];
  }
}

std::optional<ChatReply> ReplyReader::reply(const std::string& key) const {
  const auto found = replies_.find(key);
  return found == replies_.end() ? std::nullopt : std::optional(found->second);
}

CallCensus count_calls(const fs::path& path) { return ReplyReader(path).census(); }

CallAudit audit_calls(const fs::path& path) {
  CallAudit audit;
  std::unordered_set<std::string> answered;
  const MappedFile file(path);
  std::string_view rest = file.text();
  if (!rest.empty() && rest.back() != '\n') ++audit.findings["last line without an end"];
  while (!rest.empty()) {
    const size_t end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    rest = end == rest.npos ? std::string_view() : rest.substr(end + 1);
    if (end == std::string_view::npos) break;
    const std::string name = fmt::format("{}:{}", path.string(), ++audit.lines);
    const Json record = parse_json(line, name);
    const auto key = get<std::string>(record, "key", name);
    if (record.contains("failed")) {
      ++audit.failures;
      if (answered.contains(key)) ++audit.findings["failed after it was answered"];
      continue;
    }
    ++audit.replies;
    read_stored_reply(record, name);
    if (!answered.insert(key).second) ++audit.findings["answered twice"];
    if (call_key(stored_call(record, name)) != key) ++audit.findings["key of another call"];
  }
  return audit;
}

}  // namespace etrlrec
