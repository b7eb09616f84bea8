// Rows of a Parquet file, through Arrow. Internal to data/; others use table_sniff.h and
// table_stream.h.
#pragma once

#include <cstdint>
#include <span>

#include "data/table.h"

namespace etrlrec {

void sniff_parquet(TableInfo& info);  // fills columns and first_rows
void read_parquet(const TableInfo& info, std::span<const int32_t> columns, const OnRow& on_row);

}  // namespace etrlrec
