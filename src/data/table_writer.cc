#include "data/table_writer.h"

#include <fmt/format.h>

#include <iterator>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "data/parquet_writer.h"

namespace etrlrec {
namespace {

// Text formats: a line for each row.
class LineWriter : public TableWriter {
 public:
  using AppendRow = void (*)(std::span<const OutputColumn> columns, std::span<const Cell> cells,
                             std::string& out);
  LineWriter(const fs::path& path, std::vector<OutputColumn> columns, AppendRow append)
      : file_(path), columns_(std::move(columns)), append_(append) {}

  void write(std::span<const Cell> cells) override {
    append_(columns_, cells, pending_);
    pending_ += '\n';
    if (pending_.size() >= kPendingBytes) flush();
  }
  void commit() override {
    flush();
    file_.commit();
  }

 private:
  static constexpr size_t kPendingBytes = size_t{1} << 20;
  void flush() {
    file_.write(pending_);
    pending_.clear();
  }

  AtomicFile file_;
  std::vector<OutputColumn> columns_;
  AppendRow append_;
  std::string pending_;
};

void append_csv_text(std::string_view text, std::string& out) {
  if (text.find_first_of(",\"\r\n") == text.npos) {
    out += text;
    return;
  }
  out += '"';
  for (const char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  out += '"';
}

void append_number(const Cell& cell, std::string& out) {
  if (const auto* number = std::get_if<int64_t>(&cell))
    fmt::format_to(std::back_inserter(out), "{}", *number);
  else
    fmt::format_to(std::back_inserter(out), "{}", std::get<float>(cell));
}

void append_csv_row(std::span<const OutputColumn>, std::span<const Cell> cells, std::string& out) {
  for (size_t c = 0; c < cells.size(); ++c) {
    if (c > 0) out += ',';
    if (const auto* text = std::get_if<std::string_view>(&cells[c]))
      append_csv_text(*text, out);
    else
      append_number(cells[c], out);
  }
}

void append_json_row(std::span<const OutputColumn> columns, std::span<const Cell> cells,
                     std::string& out) {
  for (size_t c = 0; c < cells.size(); ++c) {
    out += (c == 0 ? "{" : ",") + json_text(columns[c].name) + ":";
    if (const auto* text = std::get_if<std::string_view>(&cells[c]))
      out += json_text(*text);
    else
      append_number(cells[c], out);
  }
  out += '}';
}

std::unique_ptr<TableWriter> new_csv_writer(const fs::path& path,
                                            const std::vector<OutputColumn>& columns) {
  auto writer = std::make_unique<LineWriter>(path, columns, append_csv_row);
  std::vector<Cell> names;
  for (const OutputColumn& column : columns) names.emplace_back(std::string_view(column.name));
  writer->write(names);
  return writer;
}

}  // namespace

void check_table_name(const fs::path& path) {
  const fs::path ending = path.extension();
  CHECK(ending == ".csv" || ending == ".jsonl" || ending == ".parquet", kUsage,
        "{}: expected a name that ends in .csv, .jsonl or .parquet, found \"{}\"", path.string(),
        ending.string());
}

std::unique_ptr<TableWriter> new_table_writer(const fs::path& path,
                                              std::vector<OutputColumn> columns) {
  check_table_name(path);
  if (path.extension() == ".csv") return new_csv_writer(path, columns);
  if (path.extension() == ".parquet") return new_parquet_writer(path, columns);
  return std::make_unique<LineWriter>(path, std::move(columns), append_json_row);
}

}  // namespace etrlrec
