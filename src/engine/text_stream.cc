#include "engine/text_stream.h"

#include <algorithm>

#include "base/check.h"
#include "text/utf8.h"

namespace etrlrec {
namespace {

constexpr std::string_view kReplacement = "\uFFFD";

// Whether the bytes can be completed to one character of UTF-8.
bool begins_character(std::string_view bytes) {
  for (size_t more = 1; bytes.size() + more <= 4; ++more)
    for (const char fill : {'\x80', '\xBF'}) {
      const std::string whole = std::string(bytes) + std::string(more, fill);
      if (valid_utf8_length(whole) == whole.size()) return true;
    }
  return false;
}

// Where the earliest stop string begins, npos if there is none.
size_t find_stop(std::string_view text, const std::vector<std::string>& stop) {
  size_t first = std::string_view::npos;
  for (const std::string& one : stop) first = std::min(first, text.find(one));
  return first;
}

// Bytes at the end that may be the beginning of a stop string.
size_t open_stop(std::string_view text, const std::vector<std::string>& stop) {
  size_t longest = 0;
  for (const std::string& one : stop)
    for (size_t size = std::min(text.size(), one.size() - 1); size > longest; --size)
      if (text.ends_with(std::string_view(one).substr(0, size))) longest = size;
  return longest;
}

void check_stop(const std::vector<std::string>& stop) {
  for (const std::string& one : stop)
    CHECK(!one.empty(), kUsage, "--stop: expected a text, found an empty one");
}

}  // namespace

TextStream::TextStream(const Tokenizer& tokenizer, std::vector<std::string> stop,
                       std::vector<int64_t> eos_ids)
    : tokenizer_(tokenizer), stop_(std::move(stop)), eos_ids_(std::move(eos_ids)) {
  check_stop(stop_);
}

// Takes the first `size` bytes of what is held, but for a character that is not complete.
std::string TextStream::release(size_t size, bool at_end) {
  std::string out;
  std::string_view rest = std::string_view(held_).substr(0, size);
  while (true) {
    const size_t valid = valid_utf8_length(rest);
    out += rest.substr(0, valid);
    rest.remove_prefix(valid);
    if (rest.empty()) break;
    const size_t four = std::min<size_t>(rest.size(), 4);
    size_t part = 0;  // of a character that does not go on as it must
    for (size_t n = 1; n <= four && begins_character(rest.substr(0, n)); ++n) part = n;
    if (part == rest.size() && !at_end) break;
    out += kReplacement;
    rest.remove_prefix(std::max<size_t>(part, 1));
  }
  held_.erase(0, size - rest.size());
  return out;
}

std::string TextStream::push(int64_t id) {
  if (is_stopped_ || std::find(eos_ids_.begin(), eos_ids_.end(), id) != eos_ids_.end()) return "";
  held_ += tokenizer_.token_text(id);
  const size_t stop = find_stop(held_, stop_);
  if (stop == std::string::npos) return release(held_.size() - open_stop(held_, stop_), false);
  is_stopped_ = true;
  const std::string out = release(stop, true);
  held_.clear();
  return out;
}

std::string TextStream::finish() { return release(held_.size(), true); }

std::string completion_text(const Tokenizer& tokenizer, std::span<const int64_t> ids,
                            const std::vector<std::string>& stop,
                            const std::vector<int64_t>& eos_ids) {
  TextStream stream(tokenizer, stop, eos_ids);
  std::string text;
  for (int64_t id : ids) text += stream.push(id);
  return text + stream.finish();
}

std::function<bool(std::span<const int64_t>)> stops_at(const Tokenizer& tokenizer,
                                                       std::vector<std::string> stop) {
  check_stop(stop);
  size_t longest = 0;
  for (const std::string& one : stop) longest = std::max(longest, one.size());
  return [&tokenizer, stop = std::move(stop), longest](std::span<const int64_t> ids) {
    if (stop.empty() || ids.empty()) return false;
    std::string tail = tokenizer.token_text(ids.back());
    const size_t enough = tail.size() + longest - 1;
    for (size_t i = ids.size() - 1; i-- > 0 && tail.size() < enough;)
      tail.insert(0, tokenizer.token_text(ids[i]));
    return find_stop(tail, stop) != std::string::npos;
  };
}

}  // namespace etrlrec
