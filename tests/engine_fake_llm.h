// A language model for engine tests whose hidden state is a hash of the whole path of tokens:
// exact, cheap, the same in a forest and in a cache, and different wherever a path differs.
#pragma once

#include <torch/types.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "models/language_model.h"

namespace etrlrec {

class FakeLlm final : public LanguageModel {
 public:
  explicit FakeLlm(int64_t vocab_size = 24, double sharpness = 1) : vocab_size_(vocab_size) {
    Rng rng(11, "fake");
    at::Tensor head = at::empty({vocab_size, kWidth});
    for (int64_t i = 0; i < head.numel(); ++i)
      head.mutable_data_ptr<float>()[i] = static_cast<float>(sharpness * rng.normal());
    parameters_["lm_head.weight"] = head;
    parameters_["scale"] = at::ones({kWidth});
  }

  const std::string& type() const override { return type_; }
  int64_t vocab_size() const override { return vocab_size_; }
  int64_t hidden_size() const override { return kWidth; }
  int64_t num_key_value_heads() const override { return 4; }
  const std::vector<int64_t>& eos_ids() const override { return eos_ids_; }
  int64_t max_length() const override { return 512; }
  bool has_encoder() const override { return false; }
  PromptParts prompt_parts(std::span<const int64_t> prompt) const override { return {{}, prompt}; }
  int64_t key_value_bytes() const override { return 3072; }
  PassCost cost(const PassShape&) const override { return {}; }
  void save(const std::filesystem::path&) const override {}
  const at::Tensor& embed_tokens() const override { return parameters_.at("lm_head.weight"); }
  const at::Tensor& head_weight() const override { return parameters_.at("lm_head.weight"); }

  at::Tensor hidden_states(const TokenForest& forest) const override {
    ++calls_;
    tokens_ += forest.num_tokens();
    std::vector<uint64_t> paths(static_cast<size_t>(forest.num_tokens()));
    for (const Segment& segment : forest.segments) {
      uint64_t path = segment.parent < 0 ? 0 : paths[end_of(forest, segment.parent)];
      for (int64_t t = segment.begin; t < segment.end; ++t)
        path = paths[static_cast<size_t>(t)] = extend(path, forest.ids[static_cast<size_t>(t)]);
    }
    return hidden(paths) * parameters_.at("scale");
  }

  std::unique_ptr<KvCache> new_cache(int64_t rows, int64_t capacity) const override {
    auto cache = std::make_unique<Cache>();
    cache->room = rows;
    cache->capacity = capacity;
    return cache;
  }

  // Keys are the paths after each token, so that wrong ones show in what is generated.
  struct Keys final : PromptKeys {
    std::vector<uint64_t> paths;
    int64_t num_tokens() const override { return static_cast<int64_t>(paths.size()); }
    int64_t bytes() const override { return kBytesOfToken * num_tokens(); }
  };
  static constexpr int64_t kBytesOfToken = 100;

  void admit(KvCache& state, const TokenForest& prompts, std::span<const int64_t> segment_of_row,
             at::Tensor& last_hidden, std::span<SharedPromptKeys> keys) const override {
    std::vector<uint64_t> ends;
    for (size_t s = 0; s < prompts.segments.size(); ++s) {
      const Segment& segment = prompts.segments[s];
      if (!keys.empty() && keys[s] != nullptr) {
        const auto& known = dynamic_cast<const Keys&>(*keys[s]).paths;
        ends.push_back(known.at(static_cast<size_t>(segment.end - segment.begin - 1)));
        continue;
      }
      auto computed = std::make_shared<Keys>();
      uint64_t path = segment.parent < 0 ? 0 : ends[static_cast<size_t>(segment.parent)];
      for (int64_t t = segment.begin; t < segment.end; ++t)
        computed->paths.push_back(path = extend(path, prompts.ids[static_cast<size_t>(t)]));
      prefilled_tokens_ += computed->num_tokens();
      ends.push_back(path);
      if (!keys.empty()) keys[s] = computed;
    }
    last_hidden = hidden(ends) * parameters_.at("scale");
    auto& cache = static_cast<Cache&>(state);
    for (int64_t s : segment_of_row) cache.rows.push_back({ends.at(static_cast<size_t>(s)), 0});
    if (cache.num_rows() > cache.room) throw std::runtime_error("admit: no room");
    most_rows_ = std::max(most_rows_, cache.num_rows());
  }

  at::Tensor decode(KvCache& state, std::span<const int64_t> ids) const override {
    auto& cache = static_cast<Cache&>(state);
    if (ids.size() != cache.rows.size()) throw std::runtime_error("decode: wrong number of ids");
    decoded_rows_ += static_cast<int64_t>(ids.size());
    ++decoded_steps_;
    std::vector<uint64_t> paths;
    for (size_t r = 0; r < ids.size(); ++r) {
      if (++cache.rows[r].length > cache.capacity)
        throw std::runtime_error("decode: over capacity");
      paths.push_back(cache.rows[r].path = extend(cache.rows[r].path, ids[r]));
    }
    return hidden(paths) * parameters_.at("scale");
  }

  // log softmax over the vocabulary after a path; the slow twin of everything.
  std::vector<float> next_logprobs(const std::vector<int64_t>& path) const {
    TokenForest forest;
    forest.add(-1, path);
    const at::Tensor last = hidden_states(forest).select(0, forest.num_tokens() - 1);
    const at::Tensor row = at::mv(head_weight(), last).log_softmax(-1).contiguous();
    return {row.const_data_ptr<float>(), row.const_data_ptr<float>() + row.numel()};
  }

  mutable int64_t calls_ = 0, tokens_ = 0, decoded_rows_ = 0, decoded_steps_ = 0;
  mutable int64_t prefilled_tokens_ = 0, most_rows_ = 0;

 private:
  static constexpr int64_t kWidth = 8;
  struct Cache final : KvCache {
    struct Row {
      uint64_t path;
      int64_t length;
    };
    std::vector<Row> rows;
    int64_t room = 0, capacity = 0;
    int64_t num_rows() const override { return static_cast<int64_t>(rows.size()); }
    void keep_rows(std::span<const int64_t> kept) override {
      std::vector<Row> next;
      for (int64_t r : kept) next.push_back(rows.at(static_cast<size_t>(r)));
      if (static_cast<int64_t>(next.size()) > room) throw std::runtime_error("keep_rows: no room");
      rows = std::move(next);
    }
  };
  static size_t end_of(const TokenForest& forest, int64_t segment) {
    return static_cast<size_t>(forest.segments[static_cast<size_t>(segment)].end - 1);
  }
  static uint64_t extend(uint64_t path, int64_t id) {
    return (path ^ static_cast<uint64_t>(id + 1)) * 0x9E3779B97F4A7C15u + 0x7F4A7C15u;
  }
  static at::Tensor hidden(const std::vector<uint64_t>& paths) {
    at::Tensor out = at::empty({static_cast<int64_t>(paths.size()), kWidth});
    float* data = out.mutable_data_ptr<float>();
    for (uint64_t path : paths) {
      Rng rng(path, "hidden");
      for (int64_t c = 0; c < kWidth; ++c) *data++ = static_cast<float>(2 * rng.uniform() - 1);
    }
    return out;
  }

  int64_t vocab_size_;
  const std::string type_ = "fake";
  const std::vector<int64_t> eos_ids_{0};
};

}  // namespace etrlrec
