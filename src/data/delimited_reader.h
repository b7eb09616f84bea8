// Rows of delimited text (CSV, TSV …), line by line, with bounded quoting: a quote that opens a
// field closes it within kMaxQuotedLines lines, in front of a delimiter or the end of the line.
// What does not is reported as one bad row, and reading goes on with the line behind the one where
// the row began, so that a stray quote costs one row and never those behind it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/table.h"
#include "data/text_source.h"

namespace etrlrec {

inline constexpr int64_t kMaxQuotedLines = 64;

struct DelimitedFormat {
  std::string delimiter;  // one character, or "::"
  bool quoting = false;   // "a, b" in one field, "" inside it for one quote
};

enum class RowState { kRow, kBad, kBlank, kEnd };

class DelimitedReader {
 public:
  // Rows with another number of fields than `num_fields` are bad; 0: any number will do.
  DelimitedReader(const std::filesystem::path& path, DelimitedFormat format, size_t num_fields);
  // The same of lines whose first one has the number `first_line`.
  DelimitedReader(LineSource source, DelimitedFormat format, size_t num_fields, int64_t first_line);

  // Reads on. kRow: fields() are its fields; kBad: reason() and text() say what is wrong with it;
  // kBlank: an empty line. All of them are valid until the next call.
  RowState next();
  int64_t line() const { return line_; }  // of the row's first character, from 1
  std::span<const std::string_view> fields() const { return fields_; }
  const std::string& reason() const { return reason_; }
  std::string_view text() const { return text_; }  // the row's first line, at most 1000 bytes

 private:
  // Ends of a row with quotes, which may go over several lines.
  struct RowEnd {
    size_t next = 0;
    int64_t lines = 1;
  };
  void split_plain(std::string_view line);
  // False where the row is malformed; reason_ says why.
  bool read_quoted(LineSource::Line line, RowEnd& end);
  bool read_quoted_field(LineSource::Line& line, size_t& position, RowEnd& end);
  void take_spans();
  RowState bad(std::string reason, const LineSource::Line& first);

  LineSource source_;
  DelimitedFormat format_;
  size_t num_fields_;
  int64_t line_ = 0, next_line_ = 1;
  size_t pending_ = 0;  // offset of the next row; taken at the next call, while views are in use
  std::vector<std::string_view> fields_;
  struct Span {
    size_t begin = 0, end = 0;
    bool doubled = false;  // quotes in it are doubled
  };
  std::vector<Span> spans_;             // of a row with quotes
  std::vector<std::string> undoubled_;  // texts of its fields with doubled quotes
  std::string reason_;
  std::string_view text_;
};

}  // namespace etrlrec
