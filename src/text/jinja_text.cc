#include "text/jinja_text.h"

#include <algorithm>

#include "text/utf8.h"

namespace etrlrec {

JinjaText::JinjaText(std::string bytes, bool from_template) : bytes_(std::move(bytes)) {
  if (!bytes_.empty()) runs_.push_back({bytes_.size(), from_template});
}

bool JinjaText::is_template() const {
  return runs_.empty() || (runs_.size() == 1 && runs_[0].from_template);
}

JinjaText JinjaText::slice(size_t begin, size_t end) const {
  JinjaText out;
  if (begin >= end) return out;
  auto run = std::upper_bound(runs_.begin(), runs_.end(), begin,
                              [](size_t at, const Run& other) { return at < other.end; });
  out.bytes_ = bytes_.substr(begin, end - begin);
  for (; run != runs_.end(); ++run) {
    out.runs_.push_back({std::min(run->end, end) - begin, run->from_template});
    if (run->end >= end) break;
  }
  return out;
}

void JinjaText::append(const JinjaText& other) {
  size_t begin = 0;
  for (const Run& run : other.runs_) {
    append(std::string_view(other.bytes_).substr(begin, run.end - begin), run.from_template);
    begin = run.end;
  }
}

void JinjaText::append(std::string_view bytes, bool from_template) {
  if (bytes.empty()) return;
  bytes_ += bytes;
  if (runs_.empty() || runs_.back().from_template != from_template)
    runs_.push_back({bytes_.size(), from_template});
  else
    runs_.back().end = bytes_.size();
}

size_t character_length(std::string_view text) {
  return std::max<size_t>(1, static_cast<unsigned char>(text[0]) < 0x80 ? 1 : utf8_length(text));
}

size_t count_characters(std::string_view text) {
  size_t count = 0;
  for (; !text.empty(); ++count) text.remove_prefix(character_length(text));
  return count;
}

size_t character_offset(std::string_view text, size_t index) {
  size_t at = 0;
  for (; index > 0 && at < text.size(); --index) at += character_length(text.substr(at));
  return at;
}

size_t white_space_at(std::string_view text, bool at_end) {
  static constexpr std::string_view kWide[] = {"\u0085", "\u00a0", "\u1680", "\u2000", "\u2001",
                                               "\u2002", "\u2003", "\u2004", "\u2005", "\u2006",
                                               "\u2007", "\u2008", "\u2009", "\u200a", "\u2028",
                                               "\u2029", "\u202f", "\u205f", "\u3000"};
  if (text.empty()) return 0;
  const char c = at_end ? text.back() : text.front();
  if (c == ' ' || (c >= '\t' && c <= '\r') || (c >= '\x1c' && c <= '\x1f')) return 1;
  if (static_cast<unsigned char>(c) < 0x80) return 0;
  for (std::string_view wide : kWide)
    if (at_end ? text.ends_with(wide) : text.starts_with(wide)) return wide.size();
  return 0;
}

std::string_view trim_left(std::string_view text) {
  while (const size_t n = white_space_at(text, false)) text.remove_prefix(n);
  return text;
}

std::string_view trim_right(std::string_view text) {
  while (const size_t n = white_space_at(text, true)) text.remove_suffix(n);
  return text;
}

}  // namespace etrlrec
