// What a table of results consists of, and the interface of those who write one (table_writer.h).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>

namespace etrlrec {

using Cell = std::variant<std::string_view, int64_t, float>;
enum class ColumnType : int8_t { kText, kInteger, kFloat };  // as the alternatives of a Cell

struct OutputColumn {
  std::string name;
  ColumnType type = ColumnType::kText;
};

class TableWriter {
 public:
  virtual ~TableWriter() = default;
  // One cell of each column's type, in their order. Texts are UTF-8.
  virtual void write(std::span<const Cell> cells) = 0;
  virtual void commit() = 0;  // without it nothing appears
};

}  // namespace etrlrec
