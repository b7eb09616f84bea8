// The rows of a table, read in one pass and with bounded memory.
#pragma once

#include <cstdint>
#include <functional>
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

// What a thread calls that reads blocks of rows: on_begin and on_end with the number of the block,
// in between what read_table() calls.
struct BlockCalls {
  std::function<void(int64_t block)> on_begin, on_end;
  OnRow on_row;
  OnBad on_bad;
};

// The same as read_table() with a thread for each of the readers. Each block goes to one of them,
// its rows in the order of the file; the blocks of the file in their order have the numbers from
// `first_block` on, and those of one reader ascend. Parquet files, and delimited ones from the
// first quote on, are read by the first reader alone. Blocks have about `block_bytes`.
// Returns a number above those of all blocks.
int64_t read_table_blocks(const TableInfo& info, std::span<const int32_t> columns,
                          std::span<const BlockCalls> readers, int64_t first_block,
                          int64_t block_bytes);

// Of kinds whose lines are objects.
ObjectSyntax object_syntax(TableKind kind);

}  // namespace etrlrec
