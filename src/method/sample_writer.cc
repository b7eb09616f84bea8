#include "method/sample_writer.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/io.h"
#include "base/json.h"
#include "temporal/verifier.h"

namespace etrlrec {

void SampleWriter::operator()(int64_t step, std::span<const Rollout> rollouts,
                              std::span<const ScoredCompletion> scored,
                              std::span<const double> rewards, std::span<const double> advantages) {
  if (samples_ <= 0 || step % logging_steps_ != 0 || step == last_step_) return;
  last_step_ = step;
  std::string lines;
  const auto count = std::min(static_cast<size_t>(samples_), rollouts.size());
  for (size_t i = 0; i < count; ++i)
    lines += sample(rollouts[i], scored[i], rewards[i], advantages[i])
                 .dump(-1, ' ', false, OrderedJson::error_handler_t::replace) +
             "\n";
  fs::create_directories(folder_ / "samples");
  write_file_atomic(folder_ / "samples" / fmt::format("step-{}.jsonl", step), lines);
}

ExplainedCompletion explain_completion(std::string_view text, const RowView& row) {
  const std::string reasoning(row.parse(text).reasoning);
  const auto claims = judge_claims(row.claims(reasoning), row.context(), {});
  return {reasoning, explain(reasoning, claims, row.context(), row.style())};
}

OrderedJson SampleWriter::sample(const Rollout& rollout, const ScoredCompletion& scored,
                                 double reward, double advantage) const {
  OrderedJson parts = OrderedJson::object();
  for (const auto& [name, value] : scored.parts) parts[name] = value;
  const std::string text = tokenizer_->decode(rollout.output->ids);
  OrderedJson json = {
      {"row", rollout.id}, {"completion", text},     {"answer", rollout.output->answer + 1},
      {"reward", reward},  {"advantage", advantage}, {"parts", parts}};
  if (!scored.invalid.empty()) json["invalid"] = scored.invalid;
  if (rows_->prompt().reasoning) {
    const auto [reasoning, explanation] = explain_completion(text, rows_->view(rollout.id));
    json["explanation"] = to_json(explanation, reasoning);
  }
  return json;
}

}  // namespace etrlrec
