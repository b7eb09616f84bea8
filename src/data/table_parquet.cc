// Parquet cells as text. Numbers keep their shortest exact form (decimals that are whole: without a
// point), timestamps and dates become seconds since 1970, lists are joined by kListSeparator; a
// column of any other type is refused by name.
#include "data/table_parquet.h"

#include <arrow/api.h>
#include <arrow/io/api.h>
#include <parquet/arrow/reader.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "base/check.h"
#include "data/arrow_value.h"
#include "data/json_cells.h"

namespace etrlrec {
namespace {

std::unique_ptr<parquet::arrow::FileReader> open_parquet(const std::filesystem::path& path) {
  auto file =
      value_of(arrow::io::MemoryMappedFile::Open(path.string(), arrow::io::FileMode::READ), path);
  return value_of(parquet::arrow::OpenFile(file, arrow::default_memory_pool()), path);
}

std::shared_ptr<arrow::Schema> schema_of(parquet::arrow::FileReader& reader,
                                         const std::filesystem::path& path) {
  std::shared_ptr<arrow::Schema> schema;
  const auto status = reader.GetSchema(&schema);
  CHECK(status.ok(), kInput, "{}: {}", path.string(), status.message());
  return schema;
}

template <typename T>
void append_value(std::string& out, T value) {
  std::array<char, 64> buffer;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
  out.append(buffer.data(), end);
}

template <typename Array>
void append_number(std::string& out, const arrow::Array& array, int64_t row) {
  append_value(out, static_cast<const Array&>(array).Value(row));
}

// Whole numbers as such: a column of ids in which one was once missing is stored as decimals.
template <typename Array>
void append_decimal(std::string& out, const arrow::Array& array, int64_t row) {
  const auto value = static_cast<const Array&>(array).Value(row);
  if (const auto whole = whole_number(value)) {
    out += *whole;
  } else if (std::isfinite(value)) {
    append_value(out, value);
  }  // nan is how such columns store what is missing
}

template <typename Array>
void append_text(std::string& out, const arrow::Array& array, int64_t row) {
  out += static_cast<const Array&>(array).GetView(row);
}

void append_timestamp(std::string& out, const arrow::Array& array, int64_t row) {
  const int64_t value = static_cast<const arrow::TimestampArray&>(array).Value(row);
  const auto unit = static_cast<const arrow::TimestampType&>(*array.type()).unit();
  const int64_t per_second = unit == arrow::TimeUnit::SECOND  ? 1
                             : unit == arrow::TimeUnit::MILLI ? 1000
                             : unit == arrow::TimeUnit::MICRO ? 1000000
                                                              : 1000000000;
  int64_t seconds = value / per_second;
  if (value % per_second < 0) --seconds;
  append_value(out, seconds);
}

void append_cell(std::string& out, const arrow::Array& array, int64_t row,
                 const std::filesystem::path& path);

template <typename Array>
void append_list(std::string& out, const arrow::Array& array, int64_t row,
                 const std::filesystem::path& path) {
  const auto& list = static_cast<const Array&>(array);
  for (int64_t i = list.value_offset(row); i < list.value_offset(row + 1); ++i) {
    if (i > list.value_offset(row)) out += kListSeparator;
    append_cell(out, *list.values(), i, path);
  }
}

void append_cell(std::string& out, const arrow::Array& array, int64_t row,
                 const std::filesystem::path& path) {
  if (array.IsNull(row)) return;
  using Type = arrow::Type;
  switch (array.type_id()) {
    case Type::STRING:
      return append_text<arrow::StringArray>(out, array, row);
    case Type::LARGE_STRING:
      return append_text<arrow::LargeStringArray>(out, array, row);
    case Type::BINARY:
      return append_text<arrow::BinaryArray>(out, array, row);
    case Type::INT8:
      return append_number<arrow::Int8Array>(out, array, row);
    case Type::INT16:
      return append_number<arrow::Int16Array>(out, array, row);
    case Type::INT32:
      return append_number<arrow::Int32Array>(out, array, row);
    case Type::INT64:
      return append_number<arrow::Int64Array>(out, array, row);
    case Type::UINT8:
      return append_number<arrow::UInt8Array>(out, array, row);
    case Type::UINT16:
      return append_number<arrow::UInt16Array>(out, array, row);
    case Type::UINT32:
      return append_number<arrow::UInt32Array>(out, array, row);
    case Type::UINT64:
      return append_number<arrow::UInt64Array>(out, array, row);
    case Type::FLOAT:
      return append_decimal<arrow::FloatArray>(out, array, row);
    case Type::DOUBLE:
      return append_decimal<arrow::DoubleArray>(out, array, row);
    case Type::TIMESTAMP:
      return append_timestamp(out, array, row);
    case Type::DATE32:
      return append_value(
          out, int64_t{86400} * static_cast<const arrow::Date32Array&>(array).Value(row));
    case Type::DATE64:
      return append_value(out, static_cast<const arrow::Date64Array&>(array).Value(row) / 1000);
    case Type::DICTIONARY: {
      const auto& dictionary = static_cast<const arrow::DictionaryArray&>(array);
      return append_cell(out, *dictionary.dictionary(), dictionary.GetValueIndex(row), path);
    }
    case Type::LIST:
      return append_list<arrow::ListArray>(out, array, row, path);
    case Type::LARGE_LIST:
      return append_list<arrow::LargeListArray>(out, array, row, path);
    default:
      fail(ExitCode::kInput, "{}: expected text, numbers, times or lists of them, found type {}",
           path.string(), array.type()->ToString());
  }
}

bool is_readable(const arrow::DataType& type) {
  using Type = arrow::Type;
  constexpr std::array kTypes = {Type::STRING, Type::LARGE_STRING, Type::BINARY, Type::INT8,
                                 Type::INT16,  Type::INT32,        Type::INT64,  Type::UINT8,
                                 Type::UINT16, Type::UINT32,       Type::UINT64, Type::FLOAT,
                                 Type::DOUBLE, Type::TIMESTAMP,    Type::DATE32, Type::DATE64};
  return std::find(kTypes.begin(), kTypes.end(), type.id()) != kTypes.end();
}

// Calls on_batch for each record batch of the chosen top-level columns; on_batch returns false to
// stop.
template <typename OnBatch>
void for_each_batch(const std::filesystem::path& path, std::span<const int32_t> columns,
                    const OnBatch& on_batch) {
  const auto reader = open_parquet(path);
  std::vector<int> leaves, groups(reader->num_row_groups());
  for (size_t g = 0; g < groups.size(); ++g) groups[g] = static_cast<int>(g);
  const auto* descriptor = reader->parquet_reader()->metadata()->schema();
  for (int leaf = 0; leaf < descriptor->num_columns(); ++leaf) {
    const auto* root = descriptor->GetColumnRoot(leaf);
    const int field = descriptor->group_node()->FieldIndex(*root);
    if (std::find(columns.begin(), columns.end(), field) != columns.end()) leaves.push_back(leaf);
  }
  const auto batches = value_of(reader->GetRecordBatchReader(groups, leaves), path);
  while (const auto batch = value_of(batches->Next(), path)) {
    if (!on_batch(*batch)) return;
  }
}

}  // namespace

void sniff_parquet(TableInfo& info) {
  const auto reader = open_parquet(info.path);
  const auto schema = schema_of(*reader, info.path);
  std::vector<int32_t> readable;
  for (int f = 0; f < schema->num_fields(); ++f) {
    info.columns.push_back(schema->field(f)->name());
    if (is_readable(*schema->field(f)->type())) readable.push_back(f);
  }
  for_each_batch(info.path, readable, [&](const arrow::RecordBatch& batch) {
    for (int64_t r = 0; r < batch.num_rows() && info.first_rows.size() < 3; ++r) {
      std::vector<std::string> cells(info.columns.size());
      for (int c = 0; c < batch.num_columns(); ++c) {
        append_cell(cells[readable[c]], *batch.column(c), r, info.path);
      }
      info.first_rows.push_back(std::move(cells));
    }
    return false;
  });
}

void read_parquet(const TableInfo& info, std::span<const int32_t> columns, const OnRow& on_row) {
  std::vector<std::string> cells(columns.size());
  std::vector<std::string_view> values(columns.size());
  int64_t line = 0;
  for_each_batch(info.path, columns, [&](const arrow::RecordBatch& batch) {
    std::vector<const arrow::Array*> arrays;
    for (const int32_t c : columns) {
      const auto array = batch.GetColumnByName(info.columns[c]);
      CHECK(array != nullptr, kInput, "{}: expected one column \"{}\"", info.path.string(),
            info.columns[c]);
      arrays.push_back(array.get());
    }
    for (int64_t r = 0; r < batch.num_rows(); ++r) {
      for (size_t c = 0; c < columns.size(); ++c) {
        cells[c].clear();
        append_cell(cells[c], *arrays[c], r, info.path);
        values[c] = cells[c];
      }
      on_row(++line, values);
    }
    return true;
  });
}

}  // namespace etrlrec
