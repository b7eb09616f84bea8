// The rows of a table, read in one pass and with bounded memory.
#pragma once

#include <cstdint>
#include <span>

#include "data/json_cells.h"
#include "data/table.h"

namespace etrlrec {

// Calls on_row for each row with the values of `columns` (indices into info.columns), in this
// order; null is an empty value, and an empty line of delimited text is a row of them. `line`
// counts from 1, the header line included; Parquet rows count from 1. Rows that cannot be split
// into the expected fields go to on_bad with their first 1000 bytes. Parquet timestamps and dates
// arrive as seconds since 1970. Errors (kInput) when the file cannot be read on.
void read_table(const TableInfo& info, std::span<const int32_t> columns, const OnRow& on_row,
                const OnBad& on_bad);

// Of kinds whose lines are objects.
ObjectSyntax object_syntax(TableKind kind);

}  // namespace etrlrec
