// Tables in files: what a caller may fix about one, and what was found out. Supported are CSV, TSV
// and other delimited files, lines of JSON or of Python literals, and Parquet; text_source.h undoes
// compression on the way. Tables know nothing about users and items. table_sniff.h looks
// at the first lines, table_stream.h reads the rows.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace etrlrec {

enum class TableKind { kDelimited, kJsonLines, kPythonLines, kParquet };

// What may be fixed by the caller; what is not is found out from the first lines.
struct TableOptions {
  std::string delimiter;  // "," "\t" ";" "|" "::" or any single character
  std::optional<bool> header;
  std::optional<bool> quoting;  // "a, b" in one field; default: on for , and ; and where the
                                // first lines have such fields
  std::vector<std::string>
      header_hints;  // names whose presence in the first line makes it a header
};

struct TableInfo {
  std::filesystem::path path;
  TableKind kind = TableKind::kDelimited;
  std::string compression, encoding;  // as TextSource finds them
  std::string delimiter;
  bool header = false, quoting = false;
  std::vector<std::string> columns;                  // without a header line: "1", "2", ...
  std::vector<std::vector<std::string>> first_rows;  // at most three, header not included
};

// Lists inside a cell (JSON arrays, Parquet lists) arrive joined by this character.
inline constexpr char kListSeparator = '\x1f';

// What readers of rows call: with the values of the asked columns, and with what is no row.
using OnRow = std::function<void(int64_t line, std::span<const std::string_view> values)>;
using OnBad = std::function<void(int64_t line, const std::string& reason, std::string_view text)>;

std::string_view table_kind_name(TableKind kind);

}  // namespace etrlrec
