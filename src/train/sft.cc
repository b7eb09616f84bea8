#include "train/sft.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <utility>

#include "base/check.h"
#include "nn/forest_builder.h"
#include "nn/logprob.h"
#include "nn/weight.h"

namespace etrlrec {
namespace {

// One prediction: hidden state `source` of the forest has to give `target`.
struct Prediction {
  int64_t source = 0, target = 0;
  float weight = 0;
  int64_t row = 0, offset = -1;  // offset inside the completion, -1 for a prompt token
};

struct Batch {
  TokenForest forest;
  std::vector<Prediction> predictions;
};

bool is_answer(const SftRow& row, int64_t offset) {
  return offset >= row.answer_begin && offset < row.answer_begin + row.answer_tokens;
}

// Weights of one row's tokens; the loss of a micro-batch is the sum over its predictions.
class Weighting {
 public:
  Weighting(const SftOptions& options, std::span<const SftRow* const> rows)
      : options_(options), num_rows_(static_cast<double>(rows.size())), segments_(rows.size()) {
    for (const std::string& name : options.field_names) {
      auto found = options.field_weights.find(name);
      field_weights_.push_back(found == options.field_weights.end() ? 1 : found->second);
    }
    for (size_t r = 0; r < rows.size(); ++r) {
      for (size_t t = 0; t < rows[r]->completion.size(); ++t) {
        double weight = token(*rows[r], static_cast<int64_t>(t));
        segments_[r][is_answer(*rows[r], static_cast<int64_t>(t))] += weight;
        total_ += weight;
      }
    }
  }
  // `member`: index of the row in the micro-batch.
  float completion(const SftRow& row, int64_t member, int64_t offset) const {
    double weight = token(row, offset);
    if (options_.loss_type == "token") return static_cast<float>(row.weight * weight / total_);
    bool answer = is_answer(row, offset);
    double share = row.weight * weight / segments_[member][answer];
    return static_cast<float>((answer ? options_.answer_weight : 1) * share / num_rows_);
  }
  float prompt(const SftRow& row) const {
    const double weight = row.weight * options_.prompt_weight;
    if (options_.loss_type == "token") return static_cast<float>(weight / total_);
    double length = static_cast<double>(row.prompt.size()) - 1;
    return static_cast<float>(weight / (length * num_rows_));
  }

 private:
  double token(const SftRow& row, int64_t offset) const {
    return row.fields.empty() ? 1 : field_weights_[row.fields[offset]];
  }

  const SftOptions& options_;
  double num_rows_, total_ = 0;
  std::vector<double> field_weights_;
  std::vector<std::array<double, 2>> segments_;  // weight of reasoning and answer
};

// What the model reads of a row: the last token of a completion is a target only. With an encoder
// the prompt is the source, and the tokens begin with the start token.
struct Sequence {
  std::span<const int64_t> source;
  size_t lead = 0;  // tokens before the completion
  std::vector<int64_t> tokens;
  std::vector<int64_t> places;  // of each token in the forest
};

// Appends sequences of one source, sorted by tokens, as trees: what they begin with in common is
// one segment, where that saves enough tokens to be worth a segment.
void append_sequences(TokenForest& forest, std::span<Sequence* const> sorted) {
  constexpr int64_t kWorthSharing = 16;
  ForestBuilder tree;
  for (size_t k = 0; k < sorted.size(); ++k) tree.add(sorted[k]->tokens, static_cast<int64_t>(k));
  const auto is_shared = [](int64_t tokens, int64_t sequences, bool) {
    return sequences == 1 || tokens * (sequences - 1) >= kWorthSharing;
  };
  tree.append_segments(
      -1, is_shared,
      [&](int64_t parent, int64_t begin, int64_t end, std::span<const int64_t> rows) {
        const int64_t first = forest.num_tokens();
        for (const int64_t row : rows)
          for (int64_t t = begin; t < end; ++t)
            sorted[static_cast<size_t>(row)]->places.push_back(first + t - begin);
        const Sequence& any = *sorted[static_cast<size_t>(rows[0])];
        return forest.add(
            parent,
            std::span(any.tokens)
                .subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)),
            parent < 0 ? any.source : std::span<const int64_t>{});
      });
}

bool has_same_source(const Sequence& a, const Sequence& b) {
  return std::equal(a.source.begin(), a.source.end(), b.source.begin(), b.source.end());
}

// By source, then by tokens.
bool is_before(const Sequence* a, const Sequence* b) {
  if (!has_same_source(*a, *b))
    return std::lexicographical_compare(a->source.begin(), a->source.end(), b->source.begin(),
                                        b->source.end());
  return a->tokens < b->tokens;
}

// One tree for each source.
void plant(TokenForest& forest, std::span<Sequence* const> sorted) {
  for (size_t begin = 0, end = 0; begin < sorted.size(); begin = end) {
    while (end < sorted.size() && has_same_source(*sorted[begin], *sorted[end])) ++end;
    append_sequences(forest, sorted.subspan(begin, end - begin));
  }
}

std::vector<Sequence> sequences_of(const LanguageModel& model,
                                   std::span<const SftRow* const> rows) {
  std::vector<Sequence> sequences;
  for (const SftRow* row : rows) {
    const PromptParts parts = model.prompt_parts(row->prompt);
    Sequence sequence{parts.source, parts.text.size(), {parts.text.begin(), parts.text.end()}, {}};
    sequence.tokens.insert(sequence.tokens.end(), row->completion.begin(),
                           row->completion.end() - 1);
    sequences.push_back(std::move(sequence));
  }
  return sequences;
}

// Sorted sequences, cut where a part would have more than `most` tokens (0: no limit), those that
// neighbours share counted once.
std::vector<std::span<Sequence* const>> parts_of(const std::vector<Sequence*>& sorted,
                                                 int64_t most) {
  std::vector<std::span<Sequence* const>> parts;
  size_t begin = 0;
  int64_t tokens = 0;
  for (size_t i = 0; i < sorted.size(); ++i) {
    const auto size = std::ssize(sorted[i]->source) + std::ssize(sorted[i]->tokens);
    const auto shared = [&]() -> int64_t {
      if (!has_same_source(*sorted[i - 1], *sorted[i])) return 0;
      return std::ssize(sorted[i]->source) +
             common_prefix(sorted[i - 1]->tokens, sorted[i]->tokens);
    };
    if (i > begin && (most <= 0 || tokens + size - shared() <= most)) {
      tokens += size - shared();
      continue;
    }
    if (i > begin) parts.push_back(std::span(sorted).subspan(begin, i - begin));
    begin = i;
    tokens = size;
  }
  parts.push_back(std::span(sorted).subspan(begin));
  return parts;
}

void add_predictions(const SftRow& row, int64_t member, const Sequence& sequence,
                     const Weighting& weighting, bool with_prompt,
                     std::vector<Prediction>& predictions) {
  const std::vector<int64_t>& places = sequence.places;
  for (size_t t = 0; t < row.completion.size(); ++t) {
    const auto offset = static_cast<int64_t>(t);
    predictions.push_back({places[sequence.lead - 1 + t], row.completion[t],
                           weighting.completion(row, member, offset), member, offset});
  }
  if (!with_prompt) return;
  for (size_t t = 1; t < row.prompt.size(); ++t)
    predictions.push_back({places[t - 1], row.prompt[t], weighting.prompt(row), member});
}

// Beginnings that rows have in common are computed once in every part. A tree is a task of
// attention for each key/value head, so at least `min_trees` are kept where there are as many rows.
std::vector<Batch> build_batches(const LanguageModel& model, std::span<const SftRow* const> rows,
                                 const SftOptions& options, size_t min_trees) {
  std::vector<Sequence> sequences = sequences_of(model, rows);
  std::vector<Sequence*> sorted;
  for (Sequence& sequence : sequences) sorted.push_back(&sequence);
  std::stable_sort(sorted.begin(), sorted.end(), is_before);
  const Weighting weighting(options, rows);
  std::vector<Batch> batches;
  for (const std::span<Sequence* const> part : parts_of(sorted, options.tokens_per_pass)) {
    Batch& batch = batches.emplace_back();
    const size_t trees = std::clamp<size_t>(min_trees, 1, part.size());
    for (size_t tree = 0; tree < trees; ++tree) {
      const size_t begin = part.size() * tree / trees;
      plant(batch.forest, part.subspan(begin, part.size() * (tree + 1) / trees - begin));
    }
    std::vector<int64_t> members;
    for (const Sequence* sequence : part) members.push_back(sequence - sequences.data());
    std::sort(members.begin(), members.end());
    for (int64_t member : members)
      add_predictions(*rows[static_cast<size_t>(member)], member,
                      sequences[static_cast<size_t>(member)], weighting, options.prompt_weight > 0,
                      batch.predictions);
  }
  return batches;
}

class Tally {
 public:
  void add(const std::string& name, bool right) {
    auto& [hits, count] = counts_[name];
    hits += right;
    ++count;
  }
  void write(std::map<std::string, double>& metrics) const {
    for (const auto& [name, hits] : counts_) metrics[name] = hits.first / hits.second;
  }

 private:
  std::map<std::string, std::pair<double, double>> counts_;
};

// Most probable token of every hidden state, in chunks, without gradient. [N]
at::Tensor best_tokens(const at::Tensor& hidden, const at::Tensor& weight,
                       const Numerics& numerics) {
  constexpr int64_t kChunk = 256;
  at::NoGradGuard no_grad;
  std::vector<at::Tensor> parts;
  for (int64_t begin = 0; begin < hidden.size(0); begin += kChunk)
    parts.push_back(
        weight_product(hidden.narrow(0, begin, std::min(kChunk, hidden.size(0) - begin)), weight,
                       numerics)
            .argmax(-1));
  return at::cat(parts);
}

// Accuracies and negative log-likelihood of a micro-batch, part by part.
struct Measures {
  Tally accuracy;
  double nll = 0, tokens = 0;
};

void measure(const at::Tensor& hidden, const LanguageModel& model, const Batch& batch,
             std::span<const SftRow* const> rows, const SftOptions& options, Measures& measures) {
  std::vector<int64_t> targets;
  for (const Prediction& p : batch.predictions) targets.push_back(p.target);
  const at::NoGradGuard no_grad;
  const at::Tensor weight = model.head_weight().detach();
  const at::Tensor logprobs =
      linear_logprob(hidden.detach(), weight, at::tensor(targets), false, model.numerics())
          .logprobs;
  const float* logprob = logprobs.const_data_ptr<float>();
  at::Tensor best = best_tokens(hidden.detach(), weight, model.numerics()).contiguous();
  const int64_t* found = best.data_ptr<int64_t>();
  Tally& tally = measures.accuracy;
  for (size_t i = 0; i < batch.predictions.size(); ++i) {
    const Prediction& p = batch.predictions[i];
    if (p.offset < 0) continue;
    measures.nll -= logprob[i];
    ++measures.tokens;
    const SftRow& row = *rows[p.row];
    bool right = found[i] == p.target;
    bool answer = is_answer(row, p.offset);
    tally.add("accuracy", right);
    tally.add(answer ? "accuracy/answer" : "accuracy/reasoning", right);
    if (!row.fields.empty())
      tally.add("accuracy/" + options.field_names[row.fields[p.offset]], right);
  }
}

void check_row(const SftRow& row, size_t number, const SftOptions& options) {
  CHECK(!row.prompt.empty() && !row.completion.empty(), kInput,
        "fine-tuning row {}: expected a prompt and a completion of at least one token", number);
  CHECK(row.answer_begin >= 0 && row.answer_tokens >= 0 &&
            row.answer_begin + row.answer_tokens <= static_cast<int64_t>(row.completion.size()),
        kInput, "fine-tuning row {}: answer [{}, +{}) lies outside a completion of {} tokens",
        number, row.answer_begin, row.answer_tokens, row.completion.size());
  CHECK(row.fields.empty() || row.fields.size() == row.completion.size(), kInput,
        "fine-tuning row {}: expected {} fields, found {}", number, row.completion.size(),
        row.fields.size());
  for (int16_t field : row.fields)
    CHECK(field >= 0 && static_cast<size_t>(field) < options.field_names.size(), kInput,
          "fine-tuning row {}: field {} has no name", number, field);
}

}  // namespace

SftObjective::SftObjective(LanguageModel& model, std::vector<SftRow> rows, SftOptions options)
    : model_(model), rows_(std::move(rows)), options_(std::move(options)) {
  CHECK(options_.loss_type == "segment" || options_.loss_type == "token", kUsage,
        "unknown loss type \"{}\"; known: segment, token", options_.loss_type);
  CHECK(options_.neftune_noise_alpha >= 0, kUsage,
        "neftune_noise_alpha: expected a value of at least 0, found {}",
        options_.neftune_noise_alpha);
  check_hidden_dropout(model, options_.hidden_dropout);
  CHECK(options_.prompt_weight == 0 || !model.has_encoder(), kUsage,
        "prompt weight: {} reads prompts with its encoder, which predicts no tokens", model.type());
  CHECK(!rows_.empty(), kInput, "fine-tuning: no rows");
  for (const auto& [name, weight] : options_.field_weights)
    CHECK(weight > 0, kUsage, "field weight of {}: expected a positive number, found {}", name,
          weight);
  for (size_t r = 0; r < rows_.size(); ++r) check_row(rows_[r], r, options_);
}

LossOutput SftObjective::loss(std::span<const int64_t> indices, int64_t step, Rng& rng) {
  at::Tensor earlier;
  LossOutput output = loss_in_parts(indices, step, rng, [&](const at::Tensor& part) {
    earlier = earlier.defined() ? earlier + part : part;
  });
  if (earlier.defined()) output.loss = output.loss + (earlier - earlier.detach());
  return output;
}

LossOutput SftObjective::loss_in_parts(std::span<const int64_t> indices, int64_t step, Rng& rng,
                                       const Backward& backward) {
  std::vector<const SftRow*> rows;
  for (int64_t index : indices) rows.push_back(&rows_.at(index));
  const int64_t heads = model_.num_key_value_heads();
  const auto batches = build_batches(
      model_, rows, options_, static_cast<size_t>((at::get_num_threads() + heads - 1) / heads));
  const bool measured = options_.accuracy_steps > 0 && step % options_.accuracy_steps == 0;
  Measures measures;
  LossOutput output;
  for (const Batch& batch : batches) {
    std::vector<int64_t> sources, targets;
    std::vector<float> weights;
    for (const Prediction& p : batch.predictions) {
      sources.push_back(p.source);
      targets.push_back(p.target);
      weights.push_back(p.weight);
    }
    std::optional<NoiseScope> noise;
    if (options_.neftune_noise_alpha > 0 || options_.hidden_dropout > 0 ||
        model_.lora().lora_dropout > 0)
      noise.emplace(model_, TrainingNoise{true, rng.next(), options_.neftune_noise_alpha,
                                          options_.hidden_dropout});
    const at::Tensor hidden = model_.hidden_states_at(batch.forest, sources);
    noise.reset();
    if (measured) measure(hidden, model_, batch, rows, options_, measures);
    const at::Tensor part = linear_nll(hidden, model_.head_weight(), at::tensor(targets),
                                       at::tensor(weights), model_.numerics());
    add_part(part, &batch == &batches.back(), backward, output);
    output.tokens += batch.forest.num_tokens() + batch.forest.num_source_tokens();
  }
  if (measured) {
    measures.accuracy.write(output.metrics);
    output.metrics["nll"] = measures.nll / measures.tokens;
  }
  return output;
}

}  // namespace etrlrec
