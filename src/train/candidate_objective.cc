#include "train/candidate_objective.h"

#include <ATen/ATen.h>

#include <optional>

#include "base/check.h"
#include "nn/noise.h"
#include "train/policy_forest.h"

namespace etrlrec {
namespace {

void check_row(const CandidateRow& row, size_t number, size_t num_answers) {
  CHECK(!row.prompt.empty(), kInput, "candidates, row {}: expected a prompt, found none", number);
  CHECK(row.answers.size() == num_answers && num_answers >= 2, kInput,
        "candidates, row {}: expected {} candidates, at least two and as many in every row, found "
        "{}",
        number, num_answers, row.answers.size());
  CHECK(row.target >= 0 && static_cast<size_t>(row.target) < num_answers, kInput,
        "candidates, row {}: target: expected 0 to {}, found {}", number, num_answers - 1,
        row.target);
}

int64_t num_tokens(const CandidateRow& row) {
  int64_t tokens = std::ssize(row.prompt) + std::ssize(row.reasoning);
  for (const auto& answer : row.answers) tokens += std::ssize(answer) - 1;
  return tokens;
}

// Neighbours that fit into one pass.
std::vector<std::vector<const CandidateRow*>> parts_of(std::span<const CandidateRow* const> rows,
                                                       int64_t most) {
  std::vector<std::vector<const CandidateRow*>> parts;
  int64_t tokens = 0;
  for (const CandidateRow* row : rows) {
    const int64_t size = num_tokens(*row);
    if (parts.empty() || (most > 0 && tokens + size > most)) {
      parts.emplace_back();
      tokens = 0;
    }
    parts.back().push_back(row);
    tokens += size;
  }
  return parts;
}

PolicyForest plant(const LanguageModel& model, std::span<const CandidateRow* const> rows) {
  std::vector<std::vector<int64_t>> prompts;
  std::vector<std::vector<std::vector<int64_t>>> answers;
  std::vector<PolicySample> samples;
  for (const CandidateRow* row : rows) {
    samples.push_back({.prompt = std::ssize(prompts),
                       .tokens = row->reasoning,
                       .sampled = std::ssize(row->reasoning),
                       .answer = row->target});
    prompts.push_back(row->prompt);
    answers.push_back(row->answers);
  }
  return build_policy_forest(model, prompts, answers, samples);
}

struct Sums {
  double nll = 0, reasoning_nll = 0;
  int64_t hits = 0, reasonings = 0;
};

// Sum over the rows of a part, not yet divided by the micro-batch.
at::Tensor part_loss(const PolicyForest& forest, const PolicyOutput& output,
                     std::span<const CandidateRow* const> rows, double answer_weight, Sums& sums) {
  std::vector<int64_t> targets;
  std::vector<float> row_weights;
  for (const CandidateRow* row : rows) {
    targets.push_back(row->target);
    row_weights.push_back(static_cast<float>(row->weight));
  }
  const at::Tensor index = at::tensor(targets).unsqueeze(1);
  const at::Tensor answers = -output.answer_logprobs.gather(1, index).squeeze(1);
  sums.nll += answers.sum().item<double>();
  sums.hits += output.answer_logprobs.argmax(1).eq(index.squeeze(1)).sum().item<int64_t>();
  at::Tensor loss = answer_weight * (answers * at::tensor(row_weights)).sum();
  if (forest.sources.empty()) return loss;
  std::vector<float> shares, weights;  // of each token: in its row's mean, and of that
  for (const int64_t row : forest.rows) {
    const auto r = static_cast<size_t>(row);
    shares.push_back(1.0f / static_cast<float>(rows[r]->reasoning.size()));
    weights.push_back(shares.back() * row_weights[r]);
  }
  sums.reasoning_nll -= (output.logprobs.detach() * at::tensor(shares)).sum().item<double>();
  for (const CandidateRow* row : rows) sums.reasonings += !row->reasoning.empty();
  return loss - (output.logprobs * at::tensor(weights)).sum();
}

}  // namespace

CandidateObjective::CandidateObjective(LanguageModel& model, std::vector<CandidateRow> rows,
                                       CandidateLossOptions options)
    : model_(model), rows_(std::move(rows)), options_(options) {
  CHECK(!rows_.empty(), kInput, "candidates: no rows");
  check_hidden_dropout(model, options_.hidden_dropout);
  for (size_t r = 0; r < rows_.size(); ++r) check_row(rows_[r], r, rows_[0].answers.size());
}

LossOutput CandidateObjective::loss(std::span<const int64_t> rows, int64_t, Rng& rng) {
  return loss_of(rows, 0, rng, {});
}

LossOutput CandidateObjective::loss_in_parts(std::span<const int64_t> rows, int64_t, Rng& rng,
                                             const Backward& backward) {
  return loss_of(rows, options_.tokens_per_pass, rng, backward);
}

// `backward` is called for every part but the last.
LossOutput CandidateObjective::loss_of(std::span<const int64_t> indices, int64_t tokens_per_pass,
                                       Rng& rng, const Backward& backward) const {
  std::vector<const CandidateRow*> rows;
  for (const int64_t index : indices) rows.push_back(&rows_.at(static_cast<size_t>(index)));
  const auto parts = parts_of(rows, tokens_per_pass);
  const auto count = static_cast<double>(rows.size());
  Sums sums;
  LossOutput output;
  for (const auto& part : parts) {
    const PolicyForest forest = plant(model_, part);
    std::optional<NoiseScope> noise;
    if (options_.hidden_dropout > 0 || model_.lora().lora_dropout > 0)
      noise.emplace(model_, TrainingNoise{.enabled = true,
                                          .seed = rng.next(),
                                          .hidden_dropout = options_.hidden_dropout});
    const PolicyOutput policy = evaluate_policy(model_, forest, false);
    noise.reset();
    add_part(part_loss(forest, policy, part, options_.answer_weight, sums) / count,
             &part == &parts.back(), backward, output);
    output.tokens += forest.forest.num_tokens() + forest.forest.num_source_tokens();
  }
  output.metrics["nll"] = sums.nll / count;
  output.metrics["accuracy/answer"] = static_cast<double>(sums.hits) / count;
  if (sums.reasonings > 0)
    output.metrics["nll/reasoning"] = sums.reasoning_nll / static_cast<double>(sums.reasonings);
  return output;
}

}  // namespace etrlrec
