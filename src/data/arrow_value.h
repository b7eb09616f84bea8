// The value of an Arrow result about a file. Errors (kInput): Arrow's message behind the path.
#pragma once

#include <arrow/result.h>

#include <filesystem>
#include <utility>

#include "base/check.h"

namespace etrlrec {

template <typename T>
T value_of(arrow::Result<T> result, const std::filesystem::path& path) {
  CHECK(result.ok(), kInput, "{}: {}", path.string(), result.status().message());
  return std::move(result).ValueUnsafe();
}

}  // namespace etrlrec
