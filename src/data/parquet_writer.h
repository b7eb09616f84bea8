// Writes Parquet files through Arrow. Internal to data/; others use table_writer.h.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "data/table_output.h"

namespace etrlrec {

std::unique_ptr<TableWriter> new_parquet_writer(const std::filesystem::path& path,
                                                std::span<const OutputColumn> columns);

}  // namespace etrlrec
