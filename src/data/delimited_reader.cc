#include "data/delimited_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace etrlrec {
namespace {

constexpr size_t kRowText = 1000;  // bytes of a bad row that are handed on

// Position of the next delimiter, npos where there is none.
size_t find_delimiter(std::string_view text, std::string_view delimiter, size_t from) {
  return delimiter.size() == 1 ? text.find(delimiter[0], from) : text.find(delimiter, from);
}

void append_undoubled(std::string_view text, std::string& out) {
  for (size_t i = 0; i < text.size(); ++i) {
    out += text[i];
    if (text[i] == '"') ++i;
  }
}

}  // namespace

DelimitedReader::DelimitedReader(const std::filesystem::path& path, DelimitedFormat format,
                                 size_t num_fields)
    : DelimitedReader(LineSource(path), std::move(format), num_fields, 1) {}

DelimitedReader::DelimitedReader(LineSource source, DelimitedFormat format, size_t num_fields,
                                 int64_t first_line)
    : source_(std::move(source)),
      format_(std::move(format)),
      num_fields_(num_fields),
      next_line_(first_line) {}

void DelimitedReader::split_plain(std::string_view line) {
  fields_.clear();
  const std::string_view delimiter = format_.delimiter;
  // id::title::genres: titles may hold the pair, too, so that only the first and the last count.
  const bool outer = delimiter == "::" && num_fields_ == 3;
  size_t begin = 0;
  for (size_t end; (end = find_delimiter(line, delimiter, begin)) != std::string_view::npos;
       begin = end + delimiter.size()) {
    if (outer && !fields_.empty()) end = line.rfind(delimiter);
    fields_.push_back(line.substr(begin, end - begin));
  }
  fields_.push_back(line.substr(begin));
}

// `position` stands behind the opening quote and ends behind the delimiter, or at the line's end.
bool DelimitedReader::read_quoted_field(LineSource::Line& line, size_t& position, RowEnd& end) {
  Span span{position, 0, false};
  while (true) {
    const std::string_view rest = source_.text(position, line.end);
    const size_t quote = rest.find('"');
    if (quote == std::string_view::npos) {
      const size_t begin = line.next;
      const bool more = end.lines < kMaxQuotedLines && source_.line(begin, line);
      if (!more) {
        reason_ = fmt::format("the quote of field {} is not closed {}", spans_.size() + 1,
                              end.lines < kMaxQuotedLines
                                  ? "before the end of the file"
                                  : fmt::format("within {} lines", kMaxQuotedLines));
        return false;
      }
      ++end.lines;
      position = begin;
    } else if (quote + 1 < rest.size() && rest[quote + 1] == '"') {
      span.doubled = true;
      position += quote + 2;
    } else {
      span.end = position + quote;
      position = span.end + 1;
      break;
    }
  }
  spans_.push_back(span);
  const std::string_view behind = source_.text(position, line.end);
  if (behind.empty() || behind.starts_with(format_.delimiter)) return true;
  reason_ =
      fmt::format("the quoted field {} is followed by \"{}\"", spans_.size(), behind.substr(0, 10));
  return false;
}

bool DelimitedReader::read_quoted(LineSource::Line line, RowEnd& end) {
  spans_.clear();
  size_t position = 0;
  while (true) {
    std::string_view rest = source_.text(position, line.end);
    if (rest.starts_with('"')) {
      ++position;
      if (!read_quoted_field(line, position, end)) return false;
      rest = source_.text(position, line.end);
    } else {
      const size_t field_end = std::min(find_delimiter(rest, format_.delimiter, 0), rest.size());
      spans_.push_back({position, position + field_end, false});
      position += field_end;
      rest.remove_prefix(field_end);
    }
    if (rest.empty()) break;
    position += format_.delimiter.size();
  }
  end.next = line.next;
  take_spans();
  return true;
}

void DelimitedReader::take_spans() {
  fields_.clear();
  undoubled_.resize(std::max(undoubled_.size(), spans_.size()));
  for (size_t f = 0; f < spans_.size(); ++f) {
    const std::string_view text = source_.text(spans_[f].begin, spans_[f].end);
    if (!spans_[f].doubled) {
      fields_.push_back(text);
      continue;
    }
    undoubled_[f].clear();
    append_undoubled(text, undoubled_[f]);
    fields_.push_back(undoubled_[f]);
  }
}

RowState DelimitedReader::bad(std::string reason, const LineSource::Line& first) {
  reason_ = std::move(reason);
  text_ = source_.text(0, std::min(first.end, kRowText));
  pending_ = first.next;
  next_line_ = line_ + 1;
  return RowState::kBad;
}

RowState DelimitedReader::next() {
  source_.advance(std::exchange(pending_, 0));
  line_ = next_line_;
  LineSource::Line first;
  if (!source_.line(0, first)) return RowState::kEnd;
  RowEnd end{first.next, 1};
  const std::string_view line = source_.text(0, first.end);
  const bool blank = line.empty();
  if (format_.quoting && line.find('"') != std::string_view::npos) {
    if (!read_quoted(first, end)) return bad(std::move(reason_), first);
  } else {
    split_plain(line);
  }
  if (!blank && num_fields_ > 0 && fields_.size() != num_fields_)
    return bad(fmt::format("expected {} fields, found {}", num_fields_, fields_.size()), first);
  pending_ = end.next;
  next_line_ = line_ + end.lines;
  return blank ? RowState::kBlank : RowState::kRow;
}

}  // namespace etrlrec
