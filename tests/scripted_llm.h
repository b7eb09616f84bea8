// A language model that says after every path of tokens what a function says: the token that it
// names gets a logit above all others, which have 0.
#pragma once

#include <ATen/ATen.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "models/language_model.h"

namespace etrlrec {

class ScriptedLlm final : public LanguageModel {
 public:
  using Path = std::vector<int64_t>;
  struct Next {
    int64_t id = 0;
    double logit = 0;
  };
  ScriptedLlm(int64_t vocab_size, std::function<Next(const Path&)> script)
      : script_(std::move(script)) {
    parameters_["lm_head.weight"] = at::eye(vocab_size);
  }

  const std::string& type() const override { return type_; }
  int64_t vocab_size() const override { return head_weight().size(0); }
  int64_t hidden_size() const override { return vocab_size(); }
  int64_t num_key_value_heads() const override { return 1; }
  const std::vector<int64_t>& eos_ids() const override { return eos_ids_; }
  int64_t max_length() const override { return 4096; }
  bool has_encoder() const override { return false; }
  PromptParts prompt_parts(std::span<const int64_t> prompt) const override { return {{}, prompt}; }
  int64_t key_value_bytes() const override { return 8; }
  PassCost cost(const PassShape&) const override { return {}; }
  void save(const std::filesystem::path&) const override {}
  const at::Tensor& embed_tokens() const override { return head_weight(); }
  const at::Tensor& head_weight() const override { return parameters_.at("lm_head.weight"); }

  at::Tensor hidden_states(const TokenForest& forest) const override {
    std::vector<Path> paths;
    paths_of(forest, &paths);
    return hidden(paths);
  }
  std::unique_ptr<KvCache> new_cache(int64_t, int64_t) const override {
    return std::make_unique<Cache>();
  }
  void admit(KvCache& cache, const TokenForest& prompts, std::span<const int64_t> segment_of_row,
             at::Tensor& last_hidden, std::span<SharedPromptKeys> keys) const override {
    for (size_t s = 0; s < keys.size(); ++s)
      if (keys[s] == nullptr) keys[s] = std::make_shared<Keys>(prompts.segments[s]);
    const std::vector<Path> ends = paths_of(prompts, nullptr);
    last_hidden = at::zeros({static_cast<int64_t>(ends.size()), vocab_size()});
    for (const int64_t s : segment_of_row) {
      const Path& end = ends.at(static_cast<size_t>(s));
      last_hidden[s].copy_(hidden({end})[0]);
      static_cast<Cache&>(cache).rows.push_back(end);
    }
  }
  at::Tensor decode(KvCache& cache, std::span<const int64_t> ids) const override {
    std::vector<Path>& rows = static_cast<Cache&>(cache).rows;
    for (size_t r = 0; r < ids.size(); ++r) rows.at(r).push_back(ids[r]);
    return hidden(rows);
  }

 private:
  struct Keys final : PromptKeys {
    explicit Keys(const Segment& segment) : tokens(segment.end - segment.begin) {}
    int64_t tokens;
    int64_t num_tokens() const override { return tokens; }
    int64_t bytes() const override { return tokens; }
  };
  struct Cache final : KvCache {
    std::vector<Path> rows;
    int64_t num_rows() const override { return static_cast<int64_t>(rows.size()); }
    void keep_rows(std::span<const int64_t> kept) override {
      std::vector<Path> old = rows;
      rows.clear();
      for (const int64_t r : kept) rows.push_back(old.at(static_cast<size_t>(r)));
    }
  };

  // The path to the end of every segment and, where it is asked for, to every token.
  static std::vector<Path> paths_of(const TokenForest& forest, std::vector<Path>* tokens) {
    std::vector<Path> ends;
    for (const Segment& segment : forest.segments) {
      Path path = segment.parent < 0 ? Path{} : ends.at(static_cast<size_t>(segment.parent));
      for (int64_t t = segment.begin; t < segment.end; ++t) {
        path.push_back(forest.ids[static_cast<size_t>(t)]);
        if (tokens != nullptr) tokens->push_back(path);
      }
      ends.push_back(std::move(path));
    }
    return ends;
  }
  at::Tensor hidden(const std::vector<Path>& paths) const {
    at::Tensor states = at::zeros({static_cast<int64_t>(paths.size()), vocab_size()});
    for (size_t p = 0; p < paths.size(); ++p) {
      const Next next = script_(paths[p]);
      states[static_cast<int64_t>(p)][next.id] = next.logit;
    }
    return states;
  }

  std::function<Next(const Path&)> script_;
  std::string type_ = "scripted";
  std::vector<int64_t> eos_ids_{0};
};

}  // namespace etrlrec
