// Delimited text through Arrow's streaming CSV reader with every column as bytes, JSON Lines line
// by line. Arrow's reader would stop at rows with a wrong number of fields; its handler hands them
// over instead, with their row number, from which the line numbers of the good rows follow too.
#include "data/table_stream.h"

#include <arrow/api.h>
#include <arrow/csv/api.h>
#include <arrow/io/api.h>
#include <arrow/util/compression.h>

#include <algorithm>
#include <deque>
#include <mutex>

#include "base/check.h"
#include "base/json.h"
#include "data/arrow_value.h"
#include "data/table_parquet.h"

namespace etrlrec {
namespace {

constexpr int64_t kBlockBytes = 1 << 22;
constexpr size_t kBadRowText = 1000;  // bytes of a bad row that are handed on

// A compressed stream does not own its codec, so both live here.
struct OpenStream {
  std::unique_ptr<arrow::util::Codec> codec;
  std::shared_ptr<arrow::io::InputStream> stream;
};

OpenStream open_stream(const std::filesystem::path& path, const std::string& compression) {
  OpenStream open;
  open.stream = value_of(arrow::io::ReadableFile::Open(path.string()), path);
  if (compression.empty()) return open;
  const auto type = compression == "gzip" ? arrow::Compression::GZIP : arrow::Compression::ZSTD;
  open.codec = value_of(arrow::util::Codec::Create(type), path);
  open.stream =
      value_of(arrow::io::CompressedInputStream::Make(open.codec.get(), open.stream), path);
  return open;
}

// Lines of a stream without their ends, numbered from 1.
template <typename OnLine>
void for_each_stream_line(arrow::io::InputStream& stream, const std::filesystem::path& path,
                          const OnLine& on_line) {
  std::string pending;
  int64_t number = 0;
  const auto emit = [&](std::string_view line) {
    if (line.ends_with('\r')) line.remove_suffix(1);
    on_line(line, ++number);
  };
  while (true) {
    const auto buffer = value_of(stream.Read(kBlockBytes), path);
    if (buffer->size() == 0) break;
    std::string_view block(reinterpret_cast<const char*>(buffer->data()),
                           static_cast<size_t>(buffer->size()));
    for (size_t end; (end = block.find('\n')) != std::string_view::npos;
         block.remove_prefix(end + 1)) {
      if (pending.empty()) {
        emit(block.substr(0, end));
        continue;
      }
      pending += block.substr(0, end);
      emit(pending);
      pending.clear();
    }
    pending += block;
  }
  if (!pending.empty()) emit(pending);
}

// Arrow splits at one character: "::" becomes the unit separator. With exactly three columns
// (id::title::genres) only the first and the last pair count, since titles may hold the pair too.
std::string with_single_delimiter(arrow::io::InputStream& stream, const TableInfo& info) {
  std::string out;
  for_each_stream_line(stream, info.path, [&](std::string_view line, int64_t) {
    const size_t first = line.find("::"), last = line.rfind("::");
    for (size_t i = 0; i < line.size(); ++i) {
      const bool inner = info.columns.size() == 3 && i != first && i != last;
      if (line.substr(i).starts_with("::") && !inner) {
        out += kListSeparator;
        ++i;
      } else {
        out += line[i];
      }
    }
    out += '\n';
  });
  return out;
}

struct BadLine {
  int64_t line;
  std::string reason, text;
};

// Bad rows come from Arrow's parser, good ones from its batches; both in the order of the file.
class LineCounter {
 public:
  explicit LineCounter(int64_t first_line) : next_(first_line) {}

  void add_bad(BadLine bad) {
    const std::lock_guard lock(mutex_);
    bad_.push_back(std::move(bad));
  }
  // The line of the next good row; bad rows before it are reported first.
  int64_t next_good(const OnBad& on_bad) {
    const std::lock_guard lock(mutex_);
    report(on_bad, [&](int64_t line) { return line == next_ ? ++next_, true : false; });
    return next_++;
  }
  void finish(const OnBad& on_bad) {
    const std::lock_guard lock(mutex_);
    report(on_bad, [](int64_t) { return true; });
  }

 private:
  template <typename Accept>
  void report(const OnBad& on_bad, const Accept& accept) {
    while (!bad_.empty() && accept(bad_.front().line)) {
      const BadLine& bad = bad_.front();
      if (!bad.reason.empty()) on_bad(bad.line, bad.reason, bad.text);
      bad_.pop_front();
    }
  }

  std::mutex mutex_;
  int64_t next_;
  std::deque<BadLine> bad_;
};

void read_delimited(const TableInfo& info, std::span<const int32_t> columns, const OnRow& on_row,
                    const OnBad& on_bad) {
  OpenStream open = open_stream(info.path, info.compression);
  auto parse = arrow::csv::ParseOptions::Defaults();
  auto read = arrow::csv::ReadOptions::Defaults();
  auto convert = arrow::csv::ConvertOptions::Defaults();
  parse.delimiter = info.delimiter[0];
  std::shared_ptr<arrow::Buffer> whole;
  if (info.delimiter == "::") {
    parse.delimiter = kListSeparator;
    whole = arrow::Buffer::FromString(with_single_delimiter(*open.stream, info));
    open.stream = std::make_shared<arrow::io::BufferReader>(whole);
  }
  parse.quoting = parse.newlines_in_values = info.quoting;
  parse.ignore_empty_lines = false;  // they are bad rows without text, so that line numbers hold
  read.use_threads = false;
  read.block_size = kBlockBytes;
  read.skip_rows = info.header ? 1 : 0;
  for (size_t c = 0; c < info.columns.size(); ++c) read.column_names.push_back(std::to_string(c));
  convert.check_utf8 = false;
  for (const int32_t c : columns) {
    convert.include_columns.push_back(std::to_string(c));
    convert.column_types[std::to_string(c)] = arrow::binary();
  }
  LineCounter lines(info.header ? 2 : 1);
  parse.invalid_row_handler = [&](const arrow::csv::InvalidRow& row) {
    std::string reason;
    if (row.text.find_first_not_of("\r\n") != std::string_view::npos) {
      reason =
          fmt::format("expected {} fields, found {}", row.expected_columns, row.actual_columns);
    }
    lines.add_bad({row.number, std::move(reason), std::string(row.text.substr(0, kBadRowText))});
    return arrow::csv::InvalidRowResult::Skip;
  };

  const auto reader = value_of(arrow::csv::StreamingReader::Make(arrow::io::default_io_context(),
                                                                 open.stream, read, parse, convert),
                               info.path);
  std::vector<std::string_view> values(columns.size());
  while (const auto batch = value_of(reader->Next(), info.path)) {
    std::vector<const arrow::BinaryArray*> arrays;
    for (int c = 0; c < batch->num_columns(); ++c) {
      arrays.push_back(static_cast<const arrow::BinaryArray*>(batch->column(c).get()));
    }
    for (int64_t r = 0; r < batch->num_rows(); ++r) {
      for (size_t c = 0; c < arrays.size(); ++c) values[c] = arrays[c]->GetView(r);
      on_row(lines.next_good(on_bad), values);
    }
  }
  lines.finish(on_bad);
}

// A JSON value as cell text; lists are joined, objects stay JSON.
std::string cell_text(const Json& value) {
  if (value.is_null()) return {};
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array()) return value.dump();
  std::string out;
  for (const Json& element : value) {
    if (!out.empty()) out += kListSeparator;
    out += cell_text(element);
  }
  return out;
}

void read_json_lines(const TableInfo& info, std::span<const int32_t> columns, const OnRow& on_row,
                     const OnBad& on_bad) {
  OpenStream open = open_stream(info.path, info.compression);
  std::vector<std::string> cells(columns.size());
  std::vector<std::string_view> values(columns.size());
  for_each_stream_line(*open.stream, info.path, [&](std::string_view line, int64_t number) {
    if (number == 1 && line.starts_with("\xef\xbb\xbf")) line.remove_prefix(3);
    if (line.empty()) return;
    const Json value = Json::parse(line, nullptr, false);
    if (!value.is_object()) {
      on_bad(number, value.is_discarded() ? "not valid JSON" : "not a JSON object", line);
      return;
    }
    for (size_t c = 0; c < columns.size(); ++c) {
      const auto found = value.find(info.columns[columns[c]]);
      cells[c] = found == value.end() ? std::string() : cell_text(*found);
      values[c] = cells[c];
    }
    on_row(number, values);
  });
}

}  // namespace

std::string compression_of(const std::filesystem::path& path) {
  const std::string magic = read_beginning(path, "", 4);
  if (magic.starts_with("\x1f\x8b")) return "gzip";
  if (magic == "\x28\xb5\x2f\xfd") return "zstd";
  return "";
}

std::string read_beginning(const std::filesystem::path& path, const std::string& compression,
                           size_t max_bytes) {
  OpenStream open = open_stream(path, compression);
  std::string out;
  while (out.size() < max_bytes) {
    const auto buffer =
        value_of(open.stream->Read(static_cast<int64_t>(max_bytes - out.size())), path);
    if (buffer->size() == 0) break;
    out.append(reinterpret_cast<const char*>(buffer->data()), static_cast<size_t>(buffer->size()));
  }
  return out;
}

void read_table(const TableInfo& info, std::span<const int32_t> columns, const OnRow& on_row,
                const OnBad& on_bad) {
  for (const int32_t c : columns) {
    CHECK(c >= 0 && static_cast<size_t>(c) < info.columns.size(), kInput,
          "{}: expected a column below {}, found {}", info.path.string(), info.columns.size(), c);
  }
  switch (info.kind) {
    case TableKind::kDelimited:
      return read_delimited(info, columns, on_row, on_bad);
    case TableKind::kJsonLines:
      return read_json_lines(info, columns, on_row, on_bad);
    case TableKind::kParquet:
      return read_parquet(info, columns, on_row);
  }
}

}  // namespace etrlrec
