#include "models/t5_cache.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>

#include "base/check.h"

namespace etrlrec {
namespace {

using at::Tensor;

std::vector<int64_t> row_numbers(size_t count) {
  std::vector<int64_t> rows(count);
  std::iota(rows.begin(), rows.end(), 0);
  return rows;
}

}  // namespace

struct T5Cache::Layer {
  Tensor keys, values;            // [rows, H, capacity, D]
  std::vector<KeyValue> sources;  // of every encoder row
};

T5Cache::~T5Cache() = default;

T5Cache::T5Cache(std::shared_ptr<const T5Weights> weights, const T5Config& config,
                 const StateRows& encoded, std::span<const int64_t> source_of_row, int64_t capacity)
    : weights_(std::move(weights)),
      config_(config),
      source_of_row_(source_of_row.begin(), source_of_row.end()),
      capacity_(capacity) {
  const at::NoGradGuard no_grad;
  CHECK(capacity > 0, kUsage, "T5 cache: expected a positive capacity, found {}", capacity);
  check_rows(encoded, config.d_model, "T5 cache");
  check_sources(source_of_row, encoded);
  for (const T5Block& block : weights_->decoder.blocks) {
    Layer layer;
    layer.keys = at::empty({num_rows(), config.num_heads, capacity, config.d_kv});
    layer.values = at::empty_like(layer.keys);
    layer.sources = source_heads(linear(encoded.states, block.cross_kv, weights_->numerics),
                                 encoded.lengths, config.num_heads);
    for (KeyValue& source : layer.sources)
      source = {source.key.contiguous(), source.value.contiguous()};
    layers_.push_back(std::move(layer));
  }
}

void T5Cache::keep_rows(std::span<const int64_t> rows) {
  const at::NoGradGuard no_grad;
  for (int64_t row : rows) {
    CHECK(row >= 0 && row < num_rows(), kUsage, "T5 cache: expected rows in [0, {}), found {}",
          num_rows(), row);
  }
  const std::vector<int64_t> wanted(rows.begin(), rows.end());
  if (wanted == row_numbers(source_of_row_.size())) return;
  const Tensor index = at::tensor(wanted, at::kLong);
  const auto keep = [&](Tensor& memory) {
    std::vector<int64_t> sizes = memory.sizes().vec();
    sizes[0] = static_cast<int64_t>(wanted.size());
    const Tensor kept = at::empty(sizes);
    kept.narrow(2, 0, length_).copy_(memory.narrow(2, 0, length_).index_select(0, index));
    memory = kept;
  };
  for (Layer& layer : layers_) {
    keep(layer.keys);
    keep(layer.values);
  }
  std::vector<int64_t> sources;
  for (int64_t row : wanted) sources.push_back(source_of_row_[static_cast<size_t>(row)]);
  source_of_row_ = std::move(sources);
}

Tensor T5Cache::decode(std::span<const int64_t> ids) {
  const at::NoGradGuard no_grad;
  CHECK(static_cast<int64_t>(ids.size()) == num_rows(), kUsage,
        "T5 cache: expected {} tokens, found {}", num_rows(), ids.size());
  for (int64_t id : ids)
    CHECK(id >= 0 && id < config_.vocab_size, kInput,
          "T5 cache: expected token ids in [0, {}), found {}", config_.vocab_size, id);
  CHECK(length_ < capacity_, kUsage, "T5 cache: the rows have reached the capacity of {} tokens",
        capacity_);
  if (ids.empty()) return at::empty({0, config_.d_model});
  const T5Stack& stack = weights_->decoder;
  const std::vector<RowRun> runs = source_runs(std::vector<int64_t>(ids.size(), 1), source_of_row_);
  const Tensor bias = relative_position_bias(stack, config_, false, length_, 1, length_ + 1);
  ResidualStream x(
      at::embedding(weights_->shared, at::tensor(std::vector<int64_t>(ids.begin(), ids.end()))),
      config_.layer_norm_epsilon, weights_->numerics);
  for (size_t l = 0; l < layers_.size(); ++l) {
    const T5Block& block = stack.blocks[l];
    const Layer& layer = layers_[l];
    const std::vector<Tensor> heads =
        split_heads(linear(x.normed(block.self_norm), block.qkv, weights_->numerics), num_rows(), 3,
                    config_.num_heads);
    layer.keys.narrow(2, length_, 1).copy_(heads[1]);
    layer.values.narrow(2, length_, 1).copy_(heads[2]);
    const Tensor attended = biased_attention(heads[0], layer.keys.narrow(2, 0, length_ + 1),
                                             layer.values.narrow(2, 0, length_ + 1), bias);
    x.add(linear(attended, block.o, weights_->numerics));
    const Tensor q = linear(x.normed(block.cross_norm), block.cross_q, weights_->numerics);
    x.add(linear(cross_attention(q, runs, layer.sources), block.cross_o, weights_->numerics));
    x.add(feed_forward(block, x.normed(block.feed_forward_norm), weights_->numerics));
  }
  ++length_;
  return head_input(x, stack, config_);
}

void T5Rows::keep_rows(std::span<const int64_t> rows) {
  CHECK(std::ssize(rows) <= room_, kUsage, "keep_rows: expected at most {} rows, found {}", room_,
        rows.size());
  std::vector<std::vector<int64_t>> kept(cohorts_.size());
  std::vector<Place> places;
  for (int64_t row : rows) {
    CHECK(row >= 0 && row < num_rows(), kUsage, "keep_rows: expected rows in [0, {}), found {}",
          num_rows(), row);
    const Place& from = places_[static_cast<size_t>(row)];
    places.push_back({from.cohort, std::ssize(kept[from.cohort])});
    kept[from.cohort].push_back(from.row);
  }
  std::vector<size_t> number(cohorts_.size(), 0);  // of a cohort among those with rows
  std::vector<std::unique_ptr<T5Cache>> cohorts;
  for (size_t c = 0; c < cohorts_.size(); ++c) {
    if (kept[c].empty()) continue;
    cohorts_[c]->keep_rows(kept[c]);
    number[c] = cohorts.size();
    cohorts.push_back(std::move(cohorts_[c]));
  }
  for (Place& place : places) place.cohort = number[place.cohort];
  cohorts_ = std::move(cohorts);
  places_ = std::move(places);
}

Tensor T5Rows::admit(std::shared_ptr<const T5Weights> weights, const T5Config& config,
                     const StateRows& encoded, std::span<const int64_t> source_of_row) {
  CHECK(num_rows() + std::ssize(source_of_row) <= room_, kUsage,
        "admit: expected at most {} rows, found {} and {} new ones", room_, num_rows(),
        source_of_row.size());
  auto cohort =
      std::make_unique<T5Cache>(std::move(weights), config, encoded, source_of_row, capacity_ + 1);
  const std::vector<int64_t> start(source_of_row.size(), config.decoder_start_token_id);
  Tensor states = cohort->decode(start);
  for (int64_t row = 0; row < std::ssize(source_of_row); ++row)
    places_.push_back({cohorts_.size(), row});
  cohorts_.push_back(std::move(cohort));
  return states;
}

Tensor T5Rows::decode(std::span<const int64_t> ids, int64_t d_model) {
  CHECK(std::ssize(ids) == num_rows(), kUsage, "decode: expected {} tokens, found {}", num_rows(),
        ids.size());
  Tensor out = at::empty({num_rows(), d_model});
  for (size_t c = 0; c < cohorts_.size(); ++c) {
    std::vector<int64_t> rows(static_cast<size_t>(cohorts_[c]->num_rows())), mine(rows.size());
    for (size_t r = 0; r < places_.size(); ++r) {
      if (places_[r].cohort != c) continue;
      rows[static_cast<size_t>(places_[r].row)] = static_cast<int64_t>(r);
      mine[static_cast<size_t>(places_[r].row)] = ids[r];
    }
    out.index_copy_(0, at::tensor(rows, at::kLong), cohorts_[c]->decode(mine));
  }
  return out;
}

}  // namespace etrlrec
