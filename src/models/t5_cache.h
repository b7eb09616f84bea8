// Internal to models/: keys and values of growing decoder rows of T5. Without gradient.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "models/language_model.h"
#include "models/t5_config.h"
#include "models/t5_layers.h"

namespace etrlrec {

// Rows of one length. Keys and values of the encoder rows are computed once and shared by all rows
// of one source.
class T5Cache {
 public:
  // Row r attends to row source_of_row[r] of `encoded` and may take `capacity` tokens.
  T5Cache(std::shared_ptr<const T5Weights> weights, const T5Config& config,
          const StateRows& encoded, std::span<const int64_t> source_of_row, int64_t capacity);
  ~T5Cache();
  int64_t num_rows() const { return static_cast<int64_t>(source_of_row_.size()); }
  // Row r of the new state is row rows[r] of the old one; rows may leave, change places and repeat.
  // Rows of one source are best kept side by side.
  void keep_rows(std::span<const int64_t> rows);
  // Feeds ids[r] to row r (the start token first): the decoder's states, [rows, d_model].
  at::Tensor decode(std::span<const int64_t> ids);

 private:
  struct Layer;
  std::shared_ptr<const T5Weights> weights_;
  T5Config config_;
  std::vector<Layer> layers_;
  std::vector<int64_t> source_of_row_;
  int64_t capacity_ = 0, length_ = 0;
};

// The cache of T5 as a LanguageModel: rows that entered together have one length and one T5Cache;
// the cohorts grow side by side.
class T5Rows final : public KvCache {
 public:
  T5Rows(int64_t room, int64_t capacity) : room_(room), capacity_(capacity) {}
  int64_t num_rows() const override { return std::ssize(places_); }
  void keep_rows(std::span<const int64_t> rows) override;
  // Adds a row for each source; returns the states after the start token, [new rows, d_model].
  at::Tensor admit(std::shared_ptr<const T5Weights> weights, const T5Config& config,
                   const StateRows& encoded, std::span<const int64_t> source_of_row);
  at::Tensor decode(std::span<const int64_t> ids, int64_t d_model);

 private:
  struct Place {
    size_t cohort = 0;
    int64_t row = 0;
  };
  int64_t room_, capacity_;
  std::vector<std::unique_ptr<T5Cache>> cohorts_;
  std::vector<Place> places_;
};

}  // namespace etrlrec
