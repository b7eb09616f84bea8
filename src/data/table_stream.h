// The rows of a table, read through Arrow's streams in one pass and with bounded memory (only files
// with the delimiter "::" are held whole).
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "data/table.h"

namespace etrlrec {

// Calls on_row for each row with the values of `columns` (indices into info.columns), in this
// order; null is an empty value. `line` counts from 1, the header line included; a field that holds
// line breaks counts as one line, and Parquet rows count from 1. Rows that cannot be split into the
// expected fields go to on_bad with their first 1000 bytes; an empty line may arrive as a row of
// empty values. Parquet timestamps and dates arrive as seconds since 1970. Errors (kInput) when the
// file cannot be read on.
void read_table(const TableInfo& info, std::span<const int32_t> columns, const OnRow& on_row,
                const OnBad& on_bad);

// "", "gzip" or "zstd" by the first bytes of the file.
std::string compression_of(const std::filesystem::path& path);
// At most max_bytes decompressed bytes from the start.
std::string read_beginning(const std::filesystem::path& path, const std::string& compression,
                           size_t max_bytes);

}  // namespace etrlrec
