#include "remote/chat_client.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>

#include "base/check.h"
#include "base/io.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/strings.h"
#include "remote/http_client.h"
#include "remote/retry.h"

namespace etrlrec {
namespace {

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

bool is_this_machine(const std::string& origin) {
  for (const char* host : {"http://127.", "http://localhost", "http://[::1]"})
    if (origin.starts_with(host)) return true;
  return false;
}

// A server may repeat what it was sent; the key must not reach a file or a message that way.
std::string without_key(std::string text, const std::string& key) {
  if (key.empty()) return text;
  for (size_t at = text.find(key); at != text.npos; at = text.find(key, at))
    text.replace(at, key.size(), "[key]");
  return text;
}

EndpointOptions checked(EndpointOptions options) {
  parse_base_url(options.base_url);
  CHECK(options.concurrency >= 1 && options.max_attempts >= 1 && options.max_failures >= 1 &&
            options.timeout_seconds > 0 && options.retry_seconds >= 0,
        kUsage, "endpoint: expected concurrency, attempts, failures and time-out above 0");
  return options;
}

}  // namespace

std::string read_api_key(const std::string& file, const std::string& variable) {
  std::string key, from = "the environment variable " + variable;
  if (!file.empty()) {
    from = file;
    key = trim(read_file(file, 1 << 16));
    CHECK(!key.empty(), kUsage, "{}: expected a key, found an empty file", file);
  } else if (const char* value = std::getenv(variable.c_str()); value != nullptr) {
    key = trim(value);
  }
  CHECK(std::all_of(key.begin(), key.end(), [](unsigned char c) { return c > ' ' && c < 127; }),
        kUsage, "{}: expected a key of one line without blanks", from);
  return key;
}

ChatClient::ChatClient(EndpointOptions options, CallStore& store)
    : options_(checked(std::move(options))),
      store_(store),
      budget_(options_.budget, store.totals().usage),
      pace_(options_.requests_per_minute, options_.tokens_per_minute) {
  const std::string origin = parse_base_url(options_.base_url).origin;
  if (!options_.api_key.empty() && origin.starts_with("http:") && !is_this_machine(origin))
    log_warning("--base-url: the key goes to {} unencrypted", origin);
}

// What the threads of one call of answer() share.
class ChatClient::Round {
 public:
  Round(ChatClient& client, std::span<const ChatCall> calls, std::vector<std::string> keys,
        std::vector<size_t> pending, const std::function<void(int64_t)>& on_done, int64_t done)
      : client_(client),
        options_(client.options_),
        calls_(calls),
        keys_(std::move(keys)),
        pending_(std::move(pending)),
        pace_(client.pace_),
        on_done_(on_done),
        done_(done) {}

  void run() {
    std::vector<std::thread> threads;
    const size_t count =
        std::min(pending_.size(), static_cast<size_t>(std::max(options_.concurrency, 1)));
    for (size_t t = 0; t < count; ++t) threads.emplace_back([this, t] { work(t); });
    for (std::thread& thread : threads) thread.join();
    if (error_) std::rethrow_exception(error_);
    if (stop_reason_.empty()) return;
    fail(stop_code_, "{}", stop_reason_);
  }

 private:
  struct Outcome {
    std::optional<ChatReply> reply;
    CallFailure failure;
    bool retry = false, fatal = false;
    double retry_after = -1;  // seconds; -1: the server did not say
  };

  void work(size_t thread) {
    try {
      HttpClient http(parse_base_url(options_.base_url),
                      {.ca_file = options_.ca_file,
                       .connect_seconds = std::min(10.0, options_.timeout_seconds),
                       .total_seconds = options_.timeout_seconds});
      Rng jitter(static_cast<uint64_t>(steady_seconds() * 1e6), "remote/jitter", thread);
      for (size_t i = take(); i != kNone; i = take()) make(pending_[i], http, jitter);
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!error_) error_ = std::current_exception();
      stopped_ = true;
      wake_.notify_all();
    }
  }

  static constexpr size_t kNone = static_cast<size_t>(-1);
  size_t take() {
    const std::lock_guard lock(mutex_);
    return stopped_ || next_ == pending_.size() ? kNone : next_++;
  }

  void stop(ExitCode code, const std::string& reason) {
    const std::lock_guard lock(mutex_);
    if (!stopped_) stop_reason_ = reason, stop_code_ = code;
    stopped_ = true;
    wake_.notify_all();
  }

  // False where the run ends before `time`.
  bool sleep_until(double time) {
    std::unique_lock lock(mutex_);
    while (!stopped_) {
      const double left = std::max(time, pace_.held_until()) - steady_seconds();
      if (left <= 0) return true;
      wake_.wait_for(lock, std::chrono::duration<double>(std::min(left, 3600.0)));
    }
    return false;
  }

  void make(size_t index, HttpClient& http, Rng& jitter) {
    const ChatCall& call = calls_[index];
    const TokenUsage most = most_usage(call);
    if (!reserve(most)) return;
    Outcome outcome;
    for (int32_t attempt = 0; attempt < options_.max_attempts; ++attempt) {
      if (!sleep_until(pace_.reserve(steady_seconds(), most.total()))) break;
      outcome = send(call, http);
      outcome.failure.attempts = attempt + 1;
      pace_.settle(most.total(), outcome.reply ? outcome.reply->usage.total() : 0);
      count_request(attempt > 0);
      if (outcome.reply || !outcome.retry) break;
      if (attempt + 1 == options_.max_attempts || !pause(attempt, outcome, jitter)) break;
    }
    if (outcome.reply) client_.store_.add(call, keys_[index], *outcome.reply);
    client_.budget_.settle(most, outcome.reply ? outcome.reply->usage : TokenUsage{});
    {
      const std::lock_guard lock(mutex_);
      --running_;
      wake_.notify_all();
    }
    finish(index, outcome);
  }

  // What a call may cost is set aside. Where that is too much, a call that is under way may leave
  // enough when it ends; the run ends where there is none.
  bool reserve(const TokenUsage& most) {
    std::unique_lock lock(mutex_);
    while (!stopped_) {
      if (client_.budget_.reserve(most)) {
        ++running_;
        return true;
      }
      if (running_ == 0) break;
      wake_.wait(lock);
    }
    if (!stopped_) {
      stop_code_ = ExitCode::kResumable;
      stop_reason_ = fmt::format(
          "the budget does not suffice for another call: {} are spent\nhint: what is there is "
          "kept; "
          "a larger budget continues",
          client_.budget_.text());
    }
    stopped_ = true;
    wake_.notify_all();
    return false;
  }

  bool pause(int32_t attempt, const Outcome& outcome, Rng& jitter) {
    double delay =
        retry_delay(attempt, options_.retry_seconds, options_.max_retry_seconds, jitter.uniform());
    if (outcome.retry_after > options_.max_retry_after) {
      stop(ExitCode::kTeacher, fmt::format("{}: asks to wait {:.0f} s; what is there is kept",
                                           options_.base_url, outcome.retry_after));
      return false;
    }
    if (outcome.retry_after >= 0) {
      pace_.hold_until(steady_seconds() + outcome.retry_after);
      delay = outcome.retry_after + delay * 0.1;
    }
    return sleep_until(steady_seconds() + delay);
  }

  Outcome send(const ChatCall& call, HttpClient& http) {
    std::map<std::string, std::string> headers{{"Content-Type", "application/json"},
                                               {"Accept", "application/json"},
                                               {"Accept-Encoding", "identity"},
                                               {"User-Agent", "etrlrec"},
                                               {"Idempotency-Key", call_key(call)}};
    if (!options_.api_key.empty()) headers["Authorization"] = "Bearer " + options_.api_key;
    HttpResponse response = http.post("/chat/completions", headers, call_body(call));
    response.body = without_key(std::move(response.body), options_.api_key);
    return judge(response, call);
  }

  Outcome judge(const HttpResponse& response, const ChatCall& call) const {
    Outcome outcome;
    outcome.failure.status = response.status;
    if (response.failure != HttpFailure::kNone) {
      outcome.failure.message = without_key(response.message, options_.api_key);
      outcome.fatal =
          response.failure == HttpFailure::kTls || response.failure == HttpFailure::kRedirect;
      outcome.retry = !outcome.fatal && response.failure != HttpFailure::kTooLarge;
      return outcome;
    }
    const auto header = [&](const char* name) {
      const auto found = response.headers.find(name);
      return found == response.headers.end() ? std::string() : found->second;
    };
    if (response.status >= 200 && response.status < 300) {
      ReadReply read = read_reply(response.body, header("content-type"), call);
      outcome.reply = std::move(read.reply);
      outcome.failure.message = std::move(read.error);
      outcome.retry = !outcome.reply;
      return outcome;
    }
    outcome.failure.message = read_error(response.body);
    outcome.retry = is_retryable(response.status);
    outcome.fatal = refuses_every_call(response.status);
    outcome.failure.for_good = !outcome.retry && !outcome.fatal;
    if (const auto wait = retry_after_seconds(header("retry-after"), std::time(nullptr)))
      outcome.retry_after = *wait;
    return outcome;
  }

  void count_request(bool retry) {
    const std::lock_guard lock(mutex_);
    ++client_.counts_.requests;
    client_.counts_.retries += retry;
  }

  void finish(size_t index, const Outcome& outcome) {
    const CallFailure& failure = outcome.failure;
    if (outcome.fatal)
      return stop(ExitCode::kTeacher,
                  fmt::format("{}: {}{}", options_.base_url, status_text(failure),
                              "\nhint: what is there is kept"));
    if (!outcome.reply && failure.attempts == 0) return;  // the run ended before its turn
    if (!outcome.reply) client_.store_.add_failure(keys_[index], failure);
    bool too_many = false;
    {
      const std::lock_guard lock(mutex_);
      ++(outcome.reply ? client_.counts_.answered : client_.counts_.failed);
      int32_t& failures = client_.failures_in_row_;
      failures = outcome.reply ? 0 : failures + 1;
      too_many = failures >= options_.max_failures;
      if (on_done_) on_done_(++done_);
    }
    if (too_many)
      stop(
          ExitCode::kTeacher,
          fmt::format("{}: {} calls in a row failed, the last one with: {}\nhint: what is there is "
                      "kept; the same command continues",
                      options_.base_url, options_.max_failures, status_text(failure)));
  }

  static std::string status_text(const CallFailure& failure) {
    return failure.status == 0 ? failure.message
                               : fmt::format("status {}: {}", failure.status, failure.message);
  }

  ChatClient& client_;
  const EndpointOptions& options_;
  const std::span<const ChatCall> calls_;
  const std::vector<std::string> keys_;
  const std::vector<size_t> pending_;  // indices of the calls to make
  Pace& pace_;
  const std::function<void(int64_t)>& on_done_;
  int64_t done_ = 0;

  std::mutex mutex_;
  std::condition_variable wake_;
  size_t next_ = 0;
  int32_t running_ = 0;  // calls whose cost is set aside
  bool stopped_ = false;
  std::string stop_reason_;
  ExitCode stop_code_ = ExitCode::kTeacher;
  std::exception_ptr error_;
};

std::vector<std::optional<ChatReply>> ChatClient::answer(
    std::span<const ChatCall> calls, const std::function<void(int64_t)>& on_done) {
  std::vector<std::string> keys;
  for (const ChatCall& call : calls) keys.push_back(call_key(call));
  std::vector<std::optional<ChatReply>> replies(calls.size());
  std::vector<size_t> pending;
  std::unordered_map<std::string, size_t> asked;
  for (size_t i = 0; i < calls.size(); ++i) {
    if (!asked.emplace(keys[i], i).second) continue;
    replies[i] = store_.reply(keys[i]);
    const auto failure = store_.failure(keys[i]);
    if (!replies[i] && (!failure || !failure->for_good || options_.retry_failed))
      pending.push_back(i);
    counts_.from_store += replies[i].has_value();
  }
  const std::vector<size_t> made = pending;
  Round round(*this, calls, keys, std::move(pending), on_done,
              static_cast<int64_t>(calls.size() - made.size()));
  round.run();
  for (const size_t i : made) replies[i] = store_.reply(keys[i]);
  for (size_t i = 0; i < calls.size(); ++i)
    if (asked.at(keys[i]) != i) replies[i] = replies[asked.at(keys[i])];
  return replies;
}

}  // namespace etrlrec
