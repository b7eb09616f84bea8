// Small T5 configurations and rows that the T5 tests share.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
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
#include "nn/logprob.h"
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

inline std::vector<std::vector<int64_t>> texts_of(const TokenForest& rows) {
  std::vector<std::vector<int64_t>> texts;
  for (const Segment& row : rows.segments)
    texts.emplace_back(rows.ids.begin() + row.begin, rows.ids.begin() + row.end);
  return texts;
}

inline StateRows encode(const T5& model, const TokenForest& rows) {
  return model.encode(texts_of(rows));
}

// The rows of a padded batch, without what attention_mask hides.
inline TokenForest pack_rows(const at::Tensor& ids, const at::Tensor& attention_mask) {
  TokenForest rows;
  for (int64_t r = 0; r < ids.size(0); ++r) {
    const at::Tensor kept = ids[r].masked_select(attention_mask[r].to(at::kBool)).to(at::kLong);
    rows.add(-1, {kept.const_data_ptr<int64_t>(), static_cast<size_t>(kept.numel())});
  }
  return rows;
}

constexpr int64_t kIgnored = -100;

// Decoder input of every row of labels: the start token, then all labels but the last, with
// pad_token_id in place of -100. Row r reads source r, if there are sources.
inline TokenForest shift_right(std::span<const std::vector<int64_t>> labels, const T5Config& config,
                               std::span<const std::vector<int64_t>> sources = {}) {
  TokenForest rows;
  for (size_t r = 0; r < labels.size(); ++r) {
    std::vector<int64_t> ids{config.decoder_start_token_id};
    ids.insert(ids.end(), labels[r].begin(),
               labels[r].empty() ? labels[r].end() : labels[r].end() - 1);
    std::replace(ids.begin(), ids.end(), kIgnored, config.pad_token_id);
    rows.add(-1, ids, sources.empty() ? std::span<const int64_t>{} : sources[r]);
  }
  return rows;
}

// Mean of -log p(label) over the labels that are not -100, as Transformers defines it, through the
// states that training asks for.
inline at::Tensor seq2seq_loss(const T5& model, std::span<const std::vector<int64_t>> sources,
                               std::span<const std::vector<int64_t>> labels) {
  const TokenForest rows = shift_right(labels, model.config(), sources);
  std::vector<int64_t> predicting, targets;
  for (size_t r = 0; r < labels.size(); ++r) {
    for (size_t t = 0; t < labels[r].size(); ++t) {
      if (labels[r][t] == kIgnored) continue;
      predicting.push_back(rows.segments[r].begin + static_cast<int64_t>(t));
      targets.push_back(labels[r][t]);
    }
  }
  const auto count = static_cast<int64_t>(targets.size());
  return linear_nll(model.hidden_states_at(rows, predicting), model.head_weight(),
                    at::tensor(targets, at::kLong),
                    at::full({count}, 1.0 / static_cast<double>(count)));
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
