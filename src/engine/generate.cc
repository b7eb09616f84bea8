// The decoding loop. Prompts are prefilled in groups and shared by their completions; all rows of a
// group take one step together: one matrix product gives their logits, then each row decides for
// itself. Finished rows leave in blocks.
#include <ATen/Parallel.h>
#include <torch/types.h>

#include <algorithm>
#include <atomic>
#include <numeric>
#include <optional>

#include "base/check.h"
#include "engine/engine.h"
#include "engine/head_logits.h"
#include "engine/rollout.h"
#include "nn/logprob.h"

namespace etrlrec {
namespace {

std::vector<float> to_floats(const at::Tensor& tensor) {
  const at::Tensor values = tensor.to(at::kCPU, at::kFloat).contiguous();
  return {values.const_data_ptr<float>(), values.const_data_ptr<float>() + values.numel()};
}

// One group of prompts with all of their completions.
class Group {
 public:
  Group(const Llm& model, std::span<const GenerationRequest> requests, int64_t first_request,
        const GenerationOptions& options, HeadLogits& head, std::span<Completion> completions)
      : model_(model),
        requests_(requests),
        options_(options),
        head_(head),
        first_row_(first_request * options.completions_per_prompt) {
    const int64_t count = static_cast<int64_t>(requests.size()) * options.completions_per_prompt;
    rows_.reserve(static_cast<size_t>(count));
    for (int64_t r = 0; r < count; ++r)
      rows_.emplace_back(requests[static_cast<size_t>(r / options.completions_per_prompt)], options,
                         static_cast<uint64_t>(first_row_ + r),
                         completions[static_cast<size_t>(r)]);
  }

  // `done`: completions finished before this group.
  void run(int64_t done) {
    decode_rows(done);
    answer_waiting_rows();
    if (options_.on_progress) options_.on_progress(done + static_cast<int64_t>(rows_.size()));
  }

 private:
  bool is_out(int64_t r) const {
    const RolloutRow& row = rows_[static_cast<size_t>(r)];
    return row.is_done() || row.awaits_answer();
  }

  void decode_rows(int64_t done) {
    TokenForest prompts;
    for (const GenerationRequest& request : requests_) prompts.add(-1, request.prompt);
    std::vector<int64_t> live, roots;  // live[i]: row in place i of the cache
    int64_t capacity = 1;
    for (int64_t r = 0; r < static_cast<int64_t>(rows_.size()); ++r) {
      if (is_out(r)) continue;
      live.push_back(r);
      roots.push_back(r / options_.completions_per_prompt);
      capacity = std::max(capacity,
                          RolloutRow::capacity(rows_[static_cast<size_t>(r)].request(), options_));
    }
    if (live.empty()) return;
    at::Tensor hidden;
    const auto cache = model_.prefill(prompts, roots, capacity, hidden);
    hidden = hidden.index_select(0, at::tensor(roots, at::kLong));
    const auto total = static_cast<int64_t>(rows_.size());
    while (true) {
      const std::vector<int64_t> ids = step(hidden, live);
      const int64_t left =
          std::count_if(live.begin(), live.end(), [this](int64_t r) { return !is_out(r); });
      if (left == 0) return;
      const auto gone = static_cast<int64_t>(live.size()) - left;
      if (8 * gone >= static_cast<int64_t>(live.size())) {
        hidden = model_.decode(*cache, keep_live(*cache, ids, live));
        if (options_.on_progress) options_.on_progress(done + total - left);
      } else {
        hidden = model_.decode(*cache, ids);
      }
    }
  }

  // One token for every live row; rows that are out already repeat token 0 until they leave.
  std::vector<int64_t> step(const at::Tensor& hidden, const std::vector<int64_t>& live) {
    std::vector<int64_t> ids(live.size(), 0);
    std::vector<uint8_t> stepped(live.size(), 0);
    std::atomic<bool> finite{true};
    head_.for_each_row(hidden,
                       [&](int64_t i, std::span<const float> logits, SamplingScratch& scratch) {
                         const auto at = static_cast<size_t>(i);
                         if (is_out(live[at])) return;
                         RolloutRow& row = rows_[static_cast<size_t>(live[at])];
                         if (!row.step(logits, scratch)) finite = false;
                         ids[at] = row.completion().ids.back();
                         stepped[at] = 1;
                       });
    CHECK(finite, kNumbers,
          "generate: logits are not finite\nhint: the model's weights are damaged or diverged");
    if (options_.on_token)
      for (size_t i = 0; i < live.size(); ++i)
        if (stepped[i]) options_.on_token(first_row_ + live[i], ids[i]);
    return ids;
  }

  // Removes rows that are out from the cache and from `live`; returns the ids of those that stay.
  std::vector<int64_t> keep_live(KvCache& cache, const std::vector<int64_t>& ids,
                                 std::vector<int64_t>& live) {
    std::vector<int64_t> places, kept_ids, kept;
    for (size_t i = 0; i < live.size(); ++i) {
      if (is_out(live[i])) continue;
      places.push_back(static_cast<int64_t>(i));
      kept_ids.push_back(ids[i]);
      kept.push_back(live[i]);
    }
    cache.keep_rows(places);
    live = std::move(kept);
    return kept_ids;
  }

  // Prompts of `waiting` rows as roots, their completions as children; returns the last segment of
  // each row.
  std::vector<int64_t> plant(const std::vector<int64_t>& waiting, TokenForest& forest) const {
    std::vector<int64_t> segments;
    int64_t root = -1, root_request = -1;
    for (int64_t r : waiting) {
      const int64_t request = r / options_.completions_per_prompt;
      if (request != root_request) {
        root = forest.add(-1, requests_[static_cast<size_t>(request)].prompt);
        root_request = request;
      }
      const auto& ids = rows_[static_cast<size_t>(r)].completion().ids;
      segments.push_back(ids.empty() ? root : forest.add(root, ids));
    }
    return segments;
  }

  // Answers of several tokens: scored through tries below prompt and completion, then appended with
  // `finish`.
  void answer_waiting_rows() {
    std::vector<int64_t> waiting;
    std::vector<Answers> answers;
    for (int64_t r = 0; r < static_cast<int64_t>(rows_.size()); ++r) {
      if (!rows_[static_cast<size_t>(r)].awaits_answer()) continue;
      waiting.push_back(r);
      answers.push_back(rows_[static_cast<size_t>(r)].request().answers);
    }
    if (waiting.empty()) return;
    TokenForest forest;
    const std::vector<int64_t> segments = plant(waiting, forest);
    const auto scores = score_answers(model_, forest, segments, answers);
    SamplingScratch scratch;
    for (size_t i = 0; i < waiting.size(); ++i)
      rows_[static_cast<size_t>(waiting[i])].choose_answer(to_floats(scores[i]), scratch);
    append_answers(waiting, segments, std::move(forest));
  }

  void append_answers(const std::vector<int64_t>& waiting, const std::vector<int64_t>& segments,
                      TokenForest forest) {
    std::vector<int64_t> sources, targets;
    std::vector<std::vector<int64_t>> tails;
    for (size_t i = 0; i < waiting.size(); ++i) {
      const RolloutRow& row = rows_[static_cast<size_t>(waiting[i])];
      std::vector<int64_t> tail =
          row.request().answers[static_cast<size_t>(row.completion().answer)];
      tail.insert(tail.end(), options_.format.finish.begin(), options_.format.finish.end());
      sources.push_back(forest.segments[static_cast<size_t>(segments[i])].end - 1);
      const int64_t added = forest.add(segments[i], tail);
      const int64_t begin = forest.segments[static_cast<size_t>(added)].begin;
      for (size_t j = 0; j + 1 < tail.size(); ++j)
        sources.push_back(begin + static_cast<int64_t>(j));
      targets.insert(targets.end(), tail.begin(), tail.end());
      tails.push_back(std::move(tail));
    }
    const at::Tensor hidden =
        model_.hidden_states(forest).index_select(0, at::tensor(sources, at::kLong));
    const std::vector<float> logprobs = to_floats(
        linear_logprob(hidden, model_.head_weight(), at::tensor(targets, at::kLong)).logprobs);
    size_t next = 0;
    for (size_t i = 0; i < waiting.size(); ++i) {
      Completion& completion = rows_[static_cast<size_t>(waiting[i])].completion();
      for (int64_t id : tails[i]) {
        completion.ids.push_back(id);
        completion.logprobs.push_back(logprobs[next++]);
        if (options_.on_token) options_.on_token(first_row_ + waiting[i], id);
      }
    }
  }

  const Llm& model_;
  std::span<const GenerationRequest> requests_;
  const GenerationOptions& options_;
  HeadLogits& head_;
  int64_t first_row_;
  std::vector<RolloutRow> rows_;
};

void check_request(const Llm& model, const GenerationRequest& request,
                   const GenerationOptions& options, size_t i, bool same_answers) {
  const LlmConfig& config = model.config();
  CHECK(!request.prompt.empty(), kInput, "prompt {}: expected at least one token", i);
  for (int64_t id : request.prompt)
    CHECK(id >= 0 && id < config.vocab_size, kInput,
          "prompt {}: token id {} is not in the vocabulary of {}", i, id, config.vocab_size);
  if (!request.answers.empty() && !same_answers) check_answers(request.answers, config.vocab_size);
  const int64_t length =
      static_cast<int64_t>(request.prompt.size()) + RolloutRow::capacity(request, options);
  CHECK(length <= config.max_position_embeddings, kInput,
        "prompt {}: {} tokens and up to {} new ones are more than the model's {} positions", i,
        request.prompt.size(), RolloutRow::capacity(request, options),
        config.max_position_embeddings);
}

void check_options(const Llm& model, const GenerationOptions& options) {
  check_sampling(options.sampling);
  CHECK(options.completions_per_prompt > 0, kUsage,
        "completions per prompt: expected a positive number, found {}",
        options.completions_per_prompt);
  const int64_t vocab_size = model.config().vocab_size;
  for (const auto* tokens : {&options.format.close, &options.format.finish})
    for (int64_t id : *tokens)
      CHECK(id >= 0 && id < vocab_size, kInput,
            "reasoning format: token id {} is not in the vocabulary of {}", id, vocab_size);
  for (int64_t id : options.eos_ids)
    CHECK(id >= 0 && id < vocab_size, kInput, "end token {} is not in the vocabulary of {}", id,
          vocab_size);
}

}  // namespace

std::vector<Completion> generate(const Llm& model, std::span<const GenerationRequest> requests,
                                 const GenerationOptions& options) {
  const at::NoGradGuard no_grad;
  check_options(model, options);
  for (size_t i = 0; i < requests.size(); ++i)
    check_request(model, requests[i], options, i,
                  i > 0 && requests[i].answers == requests[i - 1].answers);
  const auto per_prompt = static_cast<size_t>(options.completions_per_prompt);
  std::vector<Completion> completions(requests.size() * per_prompt);
  HeadLogits head(model);
  for (size_t begin = 0; begin < requests.size();) {
    size_t end = begin + 1, tokens = requests[begin].prompt.size();
    while (end < requests.size() &&
           static_cast<int64_t>(tokens + requests[end].prompt.size()) <= options.batch_tokens)
      tokens += requests[end++].prompt.size();
    Group(model, requests.subspan(begin, end - begin), static_cast<int64_t>(begin), options, head,
          std::span(completions).subspan(begin * per_prompt, (end - begin) * per_prompt))
        .run(static_cast<int64_t>(begin * per_prompt));
    begin = end;
  }
  return completions;
}

}  // namespace etrlrec
