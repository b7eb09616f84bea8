#include "train/reading.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/check.h"
#include "nn/logprob.h"

namespace etrlrec {
namespace {

void check_text(const LanguageModel& model, const ReadingText& text, int64_t row) {
  CHECK(text.ids.size() >= 2 && text.weights.size() == text.ids.size(), kInput,
        "reading, row {}: expected at least two tokens and as many weights, found {} and {}", row,
        text.ids.size(), text.weights.size());
  CHECK((text.source > 0) == model.has_encoder() && text.source < std::ssize(text.ids), kInput,
        "reading, row {}: expected {}, found {} of {} tokens", row,
        model.has_encoder() ? "a source that an encoder reads, and a text" : "no source",
        text.source, text.ids.size());
  const auto source = text.weights.begin() + text.source;
  CHECK(std::all_of(text.weights.begin(), source, [](float weight) { return weight == 0; }), kInput,
        "reading, row {}: expected no weights in what an encoder reads", row);
  double sum = 0;
  for (size_t t = 1; t < text.weights.size(); ++t) {
    CHECK(text.weights[t] >= 0, kInput, "reading, row {}: expected weights of 0 or more, found {}",
          row, text.weights[t]);
    sum += text.weights[t];
  }
  CHECK(sum > 0, kInput, "reading, row {}: expected a token to learn, found none", row);
}

// One pass: some texts of a micro-batch and what is learned from them.
struct Part {
  TokenForest forest;
  std::vector<int64_t> sources, targets;
  std::vector<float> weights;

  void add(const LanguageModel& model, const ReadingText& text) {
    const auto ids = std::span(text.ids).first(text.ids.size() - 1);
    int64_t first = forest.num_tokens();
    if (text.source == 0) {
      model.add_prompt(forest, ids);
    } else {
      const auto read = static_cast<size_t>(text.source);
      const PromptParts parts = model.prompt_parts(ids.first(read));
      std::vector<int64_t> written(parts.text.begin(), parts.text.end());
      written.insert(written.end(), ids.begin() + text.source, ids.end());
      forest.add(-1, written, parts.source);
      first += std::ssize(parts.text) - text.source;  // where the first token read would stand
    }
    for (size_t t = 1; t < text.ids.size(); ++t) {
      if (text.weights[t] == 0) continue;
      sources.push_back(first + static_cast<int64_t>(t) - 1);
      targets.push_back(text.ids[t]);
      weights.push_back(text.weights[t]);
    }
  }
};

}  // namespace

ReadingObjective::ReadingObjective(LanguageModel& model, int64_t num_rows, ReadingFn read,
                                   ReadingOptions options)
    : model_(model), num_rows_(num_rows), read_(std::move(read)), options_(options) {
  check_hidden_dropout(model, options.hidden_dropout);
}

LossOutput ReadingObjective::loss(std::span<const int64_t> rows, int64_t, Rng& rng) {
  return loss_of(rows, 0, rng, {});
}

LossOutput ReadingObjective::loss_in_parts(std::span<const int64_t> rows, int64_t, Rng& rng,
                                           const Backward& backward) {
  return loss_of(rows, options_.tokens_per_pass, rng, backward);
}

// `backward` is called for every part but the last.
LossOutput ReadingObjective::loss_of(std::span<const int64_t> rows, int64_t tokens_per_pass,
                                     Rng& rng, const Backward& backward) const {
  std::vector<Part> parts;
  double total = 0;
  for (const int64_t row : rows) {
    const ReadingText text = read_(row, epoch_);
    check_text(model_, text, row);
    const bool fits = !parts.empty() &&
                      (tokens_per_pass <= 0 ||
                       parts.back().forest.num_tokens() + std::ssize(text.ids) <= tokens_per_pass);
    if (!fits) parts.emplace_back();
    parts.back().add(model_, text);
    for (size_t t = 1; t < text.weights.size(); ++t) total += text.weights[t] > 0;
  }
  LossOutput output;
  for (Part& part : parts) {
    for (float& weight : part.weights) weight = static_cast<float>(weight / total);
    at::Tensor hidden;
    {
      const NoiseScope noise(
          model_, {.enabled = true, .seed = rng.next(), .hidden_dropout = options_.hidden_dropout});
      hidden = model_.hidden_states_at(part.forest, part.sources);
    }
    const at::Tensor loss = linear_nll(hidden, model_.head_weight(), at::tensor(part.targets),
                                       at::tensor(part.weights), model_.numerics());
    add_part(loss, &part == &parts.back(), backward, output);
    output.tokens += part.forest.num_tokens();
  }
  output.metrics["nll"] = output.loss.item<double>();
  return output;
}

}  // namespace etrlrec
