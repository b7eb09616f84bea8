#include "app/warm_start.h"

#include <algorithm>

#include "base/check.h"
#include "nn/logprob.h"

namespace etrlrec {
namespace {

class IdPool {
 public:
  IdPool(int64_t first, int64_t end, Rng& rng) : rng_(rng) {
    // Few different ids in one sequence and many in another.
    const int64_t size = std::min<int64_t>(end - first, 24 + static_cast<int64_t>(rng.below(200)));
    for (int64_t i = 0; i < size; ++i)
      ids_.push_back(first + static_cast<int64_t>(rng.below(static_cast<uint64_t>(end - first))));
  }
  int64_t draw() { return ids_[rng_.below(ids_.size())]; }

 private:
  Rng& rng_;
  std::vector<int64_t> ids_;
};

struct Writer {
  WarmStartText text;
  void put(int64_t id, bool known = false, bool lookup = false) {
    text.ids.push_back(id);
    text.is_known.push_back(known);
    text.is_lookup.push_back(lookup);
  }
};

// A passage, then slices of it in any order with random ids between them. The first token of a slice is unknown; so is the
// next one where that token occurs more than once.
void write_copies(int64_t length, IdPool& pool, Rng& rng, Writer& out) {
  std::vector<int64_t> passage(12 + rng.below(50));
  for (int64_t& id : passage) out.put(id = pool.draw());
  while (static_cast<int64_t>(out.text.ids.size()) < length) {
    const size_t begin = rng.below(passage.size() - 1);
    const size_t end = std::min(passage.size(), begin + 2 + rng.below(16));
    for (size_t i = begin; i < end; ++i) {
      const bool unique = i > begin && (i > begin + 1 || std::count(passage.begin(), passage.end(), passage[begin]) == 1);
      out.put(passage[i], unique);
    }
    for (uint64_t n = rng.below(4); n > 0; --n) out.put(pool.draw());
  }
}

// "mark key value rest …" for a list of different keys, then "mark' key value" in any order.
void write_lookups(int64_t length, IdPool& pool, Rng& rng, Writer& out) {
  const int64_t mark = pool.draw(), ask = pool.draw();
  std::vector<std::pair<int64_t, int64_t>> entries;
  for (uint64_t n = 6 + rng.below(18); n > 0; --n) {
    const int64_t key = pool.draw();
    const bool taken = key == mark || key == ask ||
                       std::any_of(entries.begin(), entries.end(), [key](const auto& e) { return e.first == key; });
    if (!taken) entries.emplace_back(key, pool.draw());
  }
  if (entries.empty()) return write_copies(length, pool, rng, out);
  const uint64_t rest = rng.below(4);           // words behind each value, as titles behind numbers
  for (const auto& [key, value] : entries) {
    out.put(mark);
    out.put(key);
    out.put(value, false);
    for (uint64_t n = 0; n < rest; ++n) {
      const int64_t id = pool.draw();
      const bool is_key = std::any_of(entries.begin(), entries.end(), [id](const auto& e) { return e.first == id; });
      out.put(is_key ? mark : id);
    }
  }
  while (static_cast<int64_t>(out.text.ids.size()) < length) {
    const auto& [key, value] = entries[rng.below(entries.size())];
    out.put(ask, false);
    out.put(key, false);
    out.put(value, true, true);
    if (rng.chance(0.3)) out.put(mark);
  }
}

class WarmStartObjective final : public Objective {
 public:
  WarmStartObjective(Llm& model, const WarmStartOptions& options)
      : model_(model), options_(options), rows_((options.tokens + options.sequence_tokens - 1) / options.sequence_tokens) {}
  int64_t num_rows() const override { return rows_; }
  ParameterMap& parameters() override { return model_.parameters(); }
  double lookup_accuracy() const { return lookup_accuracy_; }

  LossOutput loss(std::span<const int64_t> rows, int64_t step, Rng&) override {
    TokenForest forest;
    std::vector<int64_t> sources, targets, lookups;
    for (int64_t row : rows) {
      Rng rng(options_.trainer.seed, "warm-start", static_cast<uint64_t>(row));
      const WarmStartText text = warm_start_text(options_.sequence_tokens, options_.first_id, options_.end_id, rng);
      const int64_t begin = forest.num_tokens();
      forest.add(-1, text.ids);
      for (size_t t = 1; t < text.ids.size(); ++t) {
        if (!text.is_known[t]) continue;
        if (text.is_lookup[t]) lookups.push_back(static_cast<int64_t>(targets.size()));
        sources.push_back(begin + static_cast<int64_t>(t) - 1);
        targets.push_back(text.ids[t]);
      }
    }
    const at::Tensor hidden = model_.hidden_states(forest).index_select(0, at::tensor(sources, at::kLong));
    const at::Tensor wanted = at::tensor(targets, at::kLong);
    const auto count = static_cast<int64_t>(targets.size());
    LossOutput output;
    output.loss = linear_nll(hidden, model_.head_weight(), wanted, at::full({count}, 1.0 / static_cast<double>(count)));
    output.tokens = forest.num_tokens();
    if (step % 10 == 0 && !lookups.empty()) {
      const at::NoGradGuard no_grad;
      const at::Tensor places = at::tensor(lookups, at::kLong);
      const at::Tensor best = at::mm(hidden.index_select(0, places), model_.head_weight().t()).argmax(-1);
      const double accuracy = best.eq(wanted.index_select(0, places)).to(at::kDouble).mean().item<double>();
      lookup_accuracy_ = accuracy;
      output.metrics["lookup_accuracy"] = accuracy;
    }
    return output;
  }

 private:
  Llm& model_;
  WarmStartOptions options_;
  int64_t rows_;
  double lookup_accuracy_ = 0;
};

}  // namespace

WarmStartText warm_start_text(int64_t length, int64_t first_id, int64_t end_id, Rng& rng) {
  IdPool pool(first_id, end_id, rng);
  Writer out;
  rng.chance(0.5) ? write_copies(length, pool, rng, out) : write_lookups(length, pool, rng, out);
  const auto size = static_cast<size_t>(length);
  out.text.ids.resize(size);
  out.text.is_known.resize(size);
  out.text.is_lookup.resize(size);
  return std::move(out.text);
}

double warm_start(Llm& model, const WarmStartOptions& options, const std::filesystem::path& folder) {
  CHECK(options.sequence_tokens >= 64 && options.sequence_tokens <= model.config().max_position_embeddings, kUsage,
        "warm start: expected sequences of 64 to {} tokens, found {}", model.config().max_position_embeddings,
        options.sequence_tokens);
  CHECK(options.end_id - options.first_id >= 64 && options.first_id >= 0 && options.end_id <= model.config().vocab_size,
        kUsage, "warm start: expected at least 64 ids of the vocabulary, found [{}, {})", options.first_id, options.end_id);
  if (options.tokens <= 0) return 0;
  WarmStartObjective objective(model, options);
  train(objective, options.trainer, folder);
  return objective.lookup_accuracy();
}

}  // namespace etrlrec
