#include "data/table_stream.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/json.h"
#include "data/delimited_reader.h"
#include "data/table_parquet.h"
#include "data/text_source.h"

namespace etrlrec {
namespace {

void read_delimited(const TableInfo& info, std::span<const int32_t> columns, const OnRow& on_row,
                    const OnBad& on_bad) {
  DelimitedReader reader(info.path, {info.delimiter, info.quoting}, info.columns.size());
  std::vector<std::string_view> values(columns.size());
  bool header = info.header;
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

void read_objects(const TableInfo& info, std::span<const int32_t> columns, const OnRow& on_row,
                  const OnBad& on_bad) {
  LineSource source(info.path);
  std::vector<std::string> cells(columns.size());
  std::vector<std::string_view> values(columns.size());
  LineSource::Line end;
  for (int64_t number = 1; source.line(0, end); source.advance(end.next), ++number) {
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

}  // namespace

ObjectSyntax object_syntax(TableKind kind) {
  return kind == TableKind::kPythonLines ? ObjectSyntax::kPython : ObjectSyntax::kJson;
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
    case TableKind::kPythonLines:
      return read_objects(info, columns, on_row, on_bad);
    case TableKind::kParquet:
      return read_parquet(info, columns, on_row);
  }
}

}  // namespace etrlrec
