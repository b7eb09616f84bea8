#include "data/parquet_writer.h"

#include <arrow/api.h>
#include <arrow/io/api.h>
#include <parquet/arrow/writer.h>

#include "base/check.h"
#include "base/io.h"

namespace etrlrec {
namespace {

constexpr int64_t kRowsPerGroup = 1 << 16;

// Arrow's way of writing, onto a file that appears complete or not at all.
class AtomicStream : public arrow::io::OutputStream {
 public:
  explicit AtomicStream(const fs::path& path) : file_(path) {}
  using arrow::io::OutputStream::Write;
  arrow::Status Write(const void* data, int64_t bytes) override {
    file_.write({static_cast<const char*>(data), static_cast<size_t>(bytes)});
    position_ += bytes;
    return arrow::Status::OK();
  }
  arrow::Result<int64_t> Tell() const override { return position_; }
  arrow::Status Close() override {
    closed_ = true;
    return arrow::Status::OK();
  }
  bool closed() const override { return closed_; }
  void commit() { file_.commit(); }

 private:
  AtomicFile file_;
  int64_t position_ = 0;
  bool closed_ = false;
};

std::shared_ptr<arrow::DataType> arrow_type(ColumnType type) {
  return type == ColumnType::kText      ? arrow::utf8()
         : type == ColumnType::kInteger ? arrow::int64()
                                        : arrow::float32();
}

std::shared_ptr<arrow::Schema> schema_of(std::span<const OutputColumn> columns) {
  arrow::FieldVector fields;
  for (const OutputColumn& column : columns)
    fields.push_back(arrow::field(column.name, arrow_type(column.type), false));
  return arrow::schema(fields);
}

class ParquetWriter : public TableWriter {
 public:
  ParquetWriter(const fs::path& path, std::span<const OutputColumn> columns)
      : path_(path), schema_(schema_of(columns)), stream_(std::make_shared<AtomicStream>(path)) {
    auto opened = parquet::arrow::FileWriter::Open(*schema_, arrow::default_memory_pool(), stream_);
    check(opened.status());
    writer_ = std::move(opened).ValueUnsafe();
    auto builder =
        arrow::RecordBatchBuilder::Make(schema_, arrow::default_memory_pool(), kRowsPerGroup);
    check(builder.status());
    builder_ = std::move(builder).ValueUnsafe();
  }

  void write(std::span<const Cell> cells) override {
    for (int c = 0; c < static_cast<int>(cells.size()); ++c)
      check(append(cells[static_cast<size_t>(c)], builder_->GetField(c)));
    if (++pending_ == kRowsPerGroup) flush();
  }
  void commit() override {
    if (pending_ > 0) flush();
    check(writer_->Close());
    check(stream_->Close());
    stream_->commit();
  }

 private:
  static arrow::Status append(const Cell& cell, arrow::ArrayBuilder* builder) {
    if (const auto* text = std::get_if<std::string_view>(&cell))
      return static_cast<arrow::StringBuilder*>(builder)->Append(*text);
    if (const auto* number = std::get_if<int64_t>(&cell))
      return static_cast<arrow::Int64Builder*>(builder)->Append(*number);
    return static_cast<arrow::FloatBuilder*>(builder)->Append(std::get<float>(cell));
  }
  void flush() {
    auto batch = builder_->Flush();
    check(batch.status());
    auto table = arrow::Table::FromRecordBatches(schema_, {std::move(batch).ValueUnsafe()});
    check(table.status());
    check(writer_->WriteTable(**table, kRowsPerGroup));
    pending_ = 0;
  }
  void check(const arrow::Status& status) const {
    CHECK(status.ok(), kFailure, "{}: cannot write: {}", path_.string(), status.message());
  }

  fs::path path_;
  std::shared_ptr<arrow::Schema> schema_;
  std::shared_ptr<AtomicStream> stream_;
  std::unique_ptr<parquet::arrow::FileWriter> writer_;
  std::unique_ptr<arrow::RecordBatchBuilder> builder_;
  int64_t pending_ = 0;  // rows of the group that is being built
};

}  // namespace

std::unique_ptr<TableWriter> new_parquet_writer(const fs::path& path,
                                                std::span<const OutputColumn> columns) {
  return std::make_unique<ParquetWriter>(path, columns);
}

}  // namespace etrlrec
