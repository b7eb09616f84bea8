// Rows of named columns from a file, as text: CSV, TSV and other delimited files, JSON Lines,
// Parquet; gzip and zstd are undone on the way (recognised by their first bytes). One pass, bounded
// memory (only files with "::" are held whole). It knows nothing about users and items.
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

enum class TableKind { kDelimited, kJsonLines, kParquet };

// What may be fixed by the caller; what is not is found out from the first lines.
struct TableOptions {
  std::string delimiter;  // "," "\t" ";" "|" "::" or any single character
  std::optional<bool> header;
  std::optional<bool> quoting;  // "a, b" in one field; default: on for , and ; only
  std::vector<std::string>
      header_hints;  // names whose presence in the first line makes it a header
};

struct TableInfo {
  std::filesystem::path path;
  TableKind kind = TableKind::kDelimited;
  std::string compression;  // "", "gzip", "zstd"
  std::string delimiter;
  bool header = false, quoting = false;
  std::vector<std::string> columns;                  // without a header line: "1", "2", ...
  std::vector<std::vector<std::string>> first_rows;  // at most three, header not included
};

// Lists inside a cell (JSON arrays, Parquet lists) arrive joined by this character.
inline constexpr char kListSeparator = '\x1f';

// Reads the beginning of the file only. Errors (kInput): missing, empty, unreadable, no delimiter
// found.
TableInfo sniff_table(const std::filesystem::path& path, const TableOptions& options);

// Calls on_row for each row with the values of `columns` (indices into info.columns), in this
// order; null is an empty value. `line` counts from 1, the header line included; a field that holds
// line breaks counts as one line, and Parquet rows count from 1. Rows that cannot be split into the
// expected fields go to on_bad with their first 1000 bytes; an empty line may arrive as a row of
// empty values. Parquet timestamps and dates arrive as seconds since 1970. Errors (kInput) when the
// file cannot be read on.
using OnRow = std::function<void(int64_t line, std::span<const std::string_view> values)>;
using OnBad = std::function<void(int64_t line, const std::string& reason, std::string_view text)>;
void read_table(const TableInfo& info, std::span<const int32_t> columns, const OnRow& on_row,
                const OnBad& on_bad);

bool is_utf8(std::string_view text);
std::string latin1_to_utf8(std::string_view text);
// The text itself when it is UTF-8, else read as ISO-8859-1.
std::string to_utf8(std::string_view text);

std::string_view table_kind_name(TableKind kind);

}  // namespace etrlrec
