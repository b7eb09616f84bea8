// Inside the data room only: the parts of table.h that touch Arrow streams.
#pragma once

#include <filesystem>
#include <string>

#include "data/table.h"

namespace etrlrec {

// "", "gzip" or "zstd" by the first bytes of the file.
std::string compression_of(const std::filesystem::path& path);
// At most max_bytes decompressed bytes from the start.
std::string read_beginning(const std::filesystem::path& path, const std::string& compression,
                           size_t max_bytes);
// Fills columns and first_rows.
void sniff_parquet(TableInfo& info);

}  // namespace etrlrec
