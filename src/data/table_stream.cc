#include "data/table_stream.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/json.h"
#include "data/delimited_reader.h"
#include "data/table_parquet.h"
#include "data/text_source.h"
#include "data/thread_group.h"

namespace etrlrec {
namespace {

// `header`: the first row names the columns; false once it was met.
void read_delimited(const TableInfo& info, std::span<const int32_t> columns, LineSource source,
                    int64_t first_line, bool& header, const OnRow& on_row, const OnBad& on_bad) {
  DelimitedReader reader(std::move(source), {info.delimiter, info.quoting}, info.columns.size(),
                         first_line);
  std::vector<std::string_view> values(columns.size());
  for (RowState state; (state = reader.next()) != RowState::kEnd;) {
    if (state == RowState::kBad) {
      on_bad(reader.line(), reader.reason(), reader.text());
    } else if (state == RowState::kBlank) {
      std::fill(values.begin(), values.end(), std::string_view());
      on_row(reader.line(), values);
    } else if (!std::exchange(header, false)) {
      for (size_t c = 0; c < columns.size(); ++c) values[c] = reader.fields()[columns[c]];
      on_row(reader.line(), values);
    }
  }
}

void read_objects(const TableInfo& info, std::span<const int32_t> columns, LineSource source,
                  int64_t first_line, const OnRow& on_row, const OnBad& on_bad) {
  std::vector<std::string> cells(columns.size());
  std::vector<std::string_view> values(columns.size());
  LineSource::Line end;
  for (int64_t number = first_line; source.line(0, end); source.advance(end.next), ++number) {
    const std::string_view line = source.text(0, end.end);
    if (line.empty()) continue;
    const auto object = parse_object(line, object_syntax(info.kind));
    if (!object) {
      on_bad(number, info.kind == TableKind::kJsonLines ? "not a JSON object" : "not a Python dict",
             line);
      continue;
    }
    for (size_t c = 0; c < columns.size(); ++c) {
      const Json* cell = find_cell(*object, info.columns[columns[c]]);
      cells[c] = cell == nullptr ? std::string() : cell_text(*cell);
      values[c] = cells[c];
    }
    on_row(number, values);
  }
}

void read_lines(const TableInfo& info, std::span<const int32_t> columns, LineSource source,
                int64_t first_line, bool& header, const OnRow& on_row, const OnBad& on_bad) {
  if (info.kind == TableKind::kDelimited) {
    read_delimited(info, columns, std::move(source), first_line, header, on_row, on_bad);
  } else {
    read_objects(info, columns, std::move(source), first_line, on_row, on_bad);
  }
}

void check_columns(const TableInfo& info, std::span<const int32_t> columns) {
  for (const int32_t c : columns) {
    CHECK(c >= 0 && static_cast<size_t>(c) < info.columns.size(), kInput,
          "{}: expected a column below {}, found {}", info.path.string(), info.columns.size(), c);
  }
}

// Cuts what one thread reads into blocks by the number of rows; `number` is that of the next block.
class RowBlocks {
 public:
  RowBlocks(const BlockCalls& calls, int64_t& number) : calls_(calls), number_(number) {
    calls_.on_begin(number_);
  }
  void end() { calls_.on_end(number_++); }
  OnRow on_row() {
    return [this](int64_t line, std::span<const std::string_view> values) {
      count();
      calls_.on_row(line, values);
    };
  }
  OnBad on_bad() {
    return [this](int64_t line, const std::string& reason, std::string_view text) {
      count();
      calls_.on_bad(line, reason, text);
    };
  }

 private:
  void count() {
    constexpr int64_t kBlockRows = 1 << 18;
    if (rows_++ < kBlockRows) return;
    rows_ = 1;
    end();
    calls_.on_begin(number_);
  }

  const BlockCalls& calls_;
  int64_t& number_;
  int64_t rows_ = 0;
};

int64_t read_line_blocks(const TableInfo& info, std::span<const int32_t> columns,
                         std::span<const BlockCalls> readers, int64_t first_block,
                         int64_t block_bytes) {
  LineBlocks blocks(info.path, info.kind == TableKind::kDelimited && info.quoting, block_bytes);
  bool header = info.header && info.kind == TableKind::kDelimited;
  const auto read = [&](const BlockCalls& calls, LineBlocks::Block& block, bool& first) {
    calls.on_begin(first_block + block.number);
    read_lines(info, columns, LineSource(info.path, std::move(block.text), nullptr),
               block.first_line, first, calls.on_row, calls.on_bad);
    calls.on_end(first_block + block.number);
  };
  LineBlocks::Block block;
  while (header && blocks.next(block)) read(readers[0], block, header);
  if (!header) {
    run_threads(static_cast<int32_t>(readers.size()), [&](int32_t t) {
      LineBlocks::Block own;
      bool none = false;
      while (blocks.next(own)) read(readers[static_cast<size_t>(t)], own, none);
    });
  }
  // From a quote on, the end of a row depends on what stands before it.
  const auto rest = blocks.rest(block);
  int64_t next = first_block + block.number;
  if (!rest) return next;
  RowBlocks rows(readers[0], next);
  read_lines(info, columns, std::move(*rest), block.first_line, header, rows.on_row(),
             rows.on_bad());
  rows.end();
  return next;
}

}  // namespace

ObjectSyntax object_syntax(TableKind kind) {
  return kind == TableKind::kPythonLines ? ObjectSyntax::kPython : ObjectSyntax::kJson;
}

void read_table(const TableInfo& info, std::span<const int32_t> columns, const OnRow& on_row,
                const OnBad& on_bad) {
  check_columns(info, columns);
  bool header = info.header;
  if (info.kind == TableKind::kParquet) return read_parquet(info, columns, on_row);
  read_lines(info, columns, LineSource(info.path), 1, header, on_row, on_bad);
}

int64_t read_table_blocks(const TableInfo& info, std::span<const int32_t> columns,
                          std::span<const BlockCalls> readers, int64_t first_block,
                          int64_t block_bytes) {
  check_columns(info, columns);
  if (info.kind != TableKind::kParquet && readers.size() > 1)
    return read_line_blocks(info, columns, readers, first_block, block_bytes);
  RowBlocks rows(readers[0], first_block);
  read_table(info, columns, rows.on_row(), rows.on_bad());
  rows.end();
  return first_block;
}

}  // namespace etrlrec
