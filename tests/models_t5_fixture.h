// Small T5 configurations and rows that the T5 tests share.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/io.h"
#include "base/rng.h"
#include "golden_path.h"
#include "models/t5.h"
#include "tensor_difference.h"

namespace etrlrec {

inline const fs::path kT5Golden = golden_path() / "t5";

// v1.1: gated GELU, a head of its own, outputs not scaled.
inline T5Config small_t5() {
  T5Config config;
  config.vocab_size = 61;
  config.d_model = 48;
  config.d_kv = 10;
  config.d_ff = 80;
  config.num_layers = 2;
  config.num_decoder_layers = 2;
  config.num_heads = 4;
  config.relative_attention_num_buckets = 8;
  config.relative_attention_max_distance = 20;
  config.feed_forward_proj = "gated-gelu";
  config.tie_word_embeddings = config.scale_decoder_outputs = false;
  return config;
}

inline std::vector<T5Config> small_t5_versions() {
  T5Config first = small_t5();
  first.feed_forward_proj = "relu";
  first.tie_word_embeddings = first.scale_decoder_outputs = true;
  return {first, small_t5()};
}

inline TokenForest random_rows(const std::vector<int64_t>& lengths, uint64_t index) {
  Rng rng(5, "t5-test", index);
  TokenForest rows;
  for (int64_t length : lengths) {
    std::vector<int64_t> ids;
    for (int64_t i = 0; i < length; ++i) ids.push_back(static_cast<int64_t>(rng.below(61)));
    rows.add(-1, ids);
  }
  return rows;
}

inline TokenForest row_of(const TokenForest& rows, int64_t row) {
  const Segment& segment = rows.segments[static_cast<size_t>(row)];
  TokenForest out;
  out.add(-1, {rows.ids.data() + segment.begin, static_cast<size_t>(segment.end - segment.begin)});
  return out;
}

inline std::vector<int64_t> row_numbers(size_t count) {
  std::vector<int64_t> numbers(count);
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

inline std::string error_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

class TemporaryFolder {
 public:
  explicit TemporaryFolder(const std::string& name) : path_(fs::path(testing::TempDir()) / name) {
    fs::remove_all(path_);
    fs::create_directories(path_);
  }
  ~TemporaryFolder() { fs::remove_all(path_); }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

}  // namespace etrlrec
