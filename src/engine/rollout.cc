#include "engine/rollout.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/logits_processor.h"

namespace etrlrec {

RolloutRow::RolloutRow(const GenerationRequest& request, std::span<const int64_t> before,
                       const GenerationOptions& options, uint64_t index, Completion& completion)
    : request_(&request),
      before_(before),
      options_(&options),
      completion_(&completion),
      rng_(options.sampling.seed, "sample", index),
      phase_(Phase::kReasoning) {
  if (request.answers.empty()) {
    phase_ = options.max_new_tokens > 0 ? Phase::kFree : Phase::kDone;
  } else if (options.format.close.empty()) {
    begin_answer();
  } else if (options.format.max_reasoning_tokens <= 0) {
    force_close(0);
  }
}

int64_t RolloutRow::capacity(const GenerationRequest& request, const GenerationOptions& options) {
  if (request.answers.empty()) return std::max<int64_t>(options.max_new_tokens, 1);
  const auto& format = options.format;
  const int64_t reasoning =
      format.close.empty() ? 0 : std::max<int64_t>(format.max_reasoning_tokens, 0);
  return reasoning + static_cast<int64_t>(format.close.size() + format.finish.size()) + 1;
}

std::span<const int64_t> RolloutRow::pending() const {
  if (phase_ == Phase::kForcedClose) return options_->format.close;
  if (phase_ == Phase::kFinish) return options_->format.finish;
  return {};
}

void RolloutRow::append(int64_t id, float logprob) {
  completion_->ids.push_back(id);
  completion_->logprobs.push_back(logprob);
}

bool RolloutRow::step(std::span<const float> logits, SamplingScratch& scratch) {
  if (phase_ == Phase::kAnswer) return answer_step(logits, scratch);
  if (const auto forced = pending(); !forced.empty()) {
    const int64_t id = forced[next_forced_++];
    append(id, logits[static_cast<size_t>(id)] - log_normalizer(logits, scratch));
    if (next_forced_ == forced.size()) {
      if (phase_ == Phase::kFinish)
        phase_ = Phase::kDone;
      else
        begin_answer();
    }
    return std::isfinite(completion_->logprobs.back());
  }
  const SampledToken token = sample(logits, scratch);
  append(token.id, token.logprob);
  if (phase_ == Phase::kFree) {
    const auto length = static_cast<int64_t>(completion_->ids.size());
    if (is_end(token.id) || length >= options_->max_new_tokens ||
        (options_->is_complete && options_->is_complete(completion_->ids)))
      phase_ = Phase::kDone;
  } else {
    after_reasoning_token(token.id);
  }
  return std::isfinite(token.logprob);
}

bool RolloutRow::is_end(int64_t id) const {
  return std::find(options_->eos_ids.begin(), options_->eos_ids.end(), id) !=
         options_->eos_ids.end();
}

SampledToken RolloutRow::sample(std::span<const float> logits, SamplingScratch& scratch) {
  const SamplingOptions& sampling = options_->sampling;
  const bool may_end = phase_ != Phase::kFree ||
                       static_cast<int64_t>(completion_->ids.size()) >= options_->min_new_tokens;
  if (may_end && !depends_on_tokens(sampling)) return sample_token(logits, sampling, rng_, scratch);
  const std::span<const float> processed = process_logits(
      logits, {before_, completion_->ids}, sampling,
      may_end ? std::span<const int64_t>() : std::span<const int64_t>(options_->eos_ids), scratch);
  SampledToken token = sample_token(processed, sampling, rng_, scratch);
  const auto id = static_cast<size_t>(token.id);
  token.logprob = std::isfinite(processed[id]) ? logits[id] - log_normalizer(logits, scratch)
                                               : std::numeric_limits<float>::quiet_NaN();
  return token;
}

size_t RolloutRow::matched_close() const {
  const auto& close = options_->format.close;
  const auto& ids = completion_->ids;
  for (size_t n = std::min(close.size(), ids.size()); n > 0; --n)
    if (std::equal(ids.end() - static_cast<int64_t>(n), ids.end(), close.begin())) return n;
  return 0;
}

void RolloutRow::after_reasoning_token(int64_t id) {
  const size_t matched = matched_close();
  const auto length = static_cast<int64_t>(completion_->ids.size());
  if (matched == options_->format.close.size()) {
    completion_->reasoning_tokens = length - static_cast<int64_t>(matched);
    begin_answer();
  } else if (is_end(id) || length >= options_->format.max_reasoning_tokens) {
    force_close(matched);
  }
}

void RolloutRow::force_close(size_t matched) {
  completion_->forced_close = true;
  completion_->reasoning_tokens = static_cast<int64_t>(completion_->ids.size() - matched);
  phase_ = Phase::kForcedClose;
  next_forced_ = matched;
}

void RolloutRow::begin_answer() {
  phase_ = all_single_tokens(request_->answers) ? Phase::kAnswer : Phase::kAwaits;
}

bool RolloutRow::answer_step(std::span<const float> logits, SamplingScratch& scratch) {
  const float normalizer = log_normalizer(logits, scratch);
  std::vector<float> values;
  for (const auto& answer : request_->answers)
    values.push_back(logits[static_cast<size_t>(answer[0])] - normalizer);
  // Answers that are all far below the rest of the vocabulary still have a distribution among
  // themselves.
  const float top = *std::max_element(values.begin(), values.end());
  double total = 0;
  for (float value : values) total += std::exp(static_cast<double>(value - top));
  const auto among = static_cast<float>(top + std::log(total));
  std::vector<float> normalized;
  for (float value : values) normalized.push_back(value - among);
  const int64_t k = sample_choice(normalized, options_->sampling, rng_, scratch);
  completion_->answer = k;
  completion_->answer_logprobs = std::move(normalized);
  if (options_->answer_mass) completion_->answer_mass = among;
  append(request_->answers[static_cast<size_t>(k)][0], values[static_cast<size_t>(k)]);
  next_forced_ = 0;
  phase_ = options_->format.finish.empty() ? Phase::kDone : Phase::kFinish;
  return std::isfinite(completion_->logprobs.back());
}

void RolloutRow::choose_answer(std::vector<float> answer_logprobs, float answer_mass,
                               SamplingScratch& scratch) {
  completion_->answer_mass = answer_mass;
  completion_->answer = sample_choice(answer_logprobs, options_->sampling, rng_, scratch);
  completion_->answer_logprobs = std::move(answer_logprobs);
  phase_ = Phase::kDone;
}

}  // namespace etrlrec
