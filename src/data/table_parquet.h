// Inside the data room only: rows of a Parquet file (data/table.h).
#pragma once

#include "data/table.h"

namespace etrlrec {

void read_parquet(const TableInfo& info, std::span<const int32_t> columns, const OnRow& on_row);

}  // namespace etrlrec
