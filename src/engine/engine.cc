// The decoding loop. Prompts are prefilled in groups and shared by their completions; all rows take
// one step together: one matrix product gives their logits, then each row decides for itself.
// Finished rows leave at once, and the next prompts enter a running cache.
#include "engine/engine.h"

#include <ATen/Parallel.h>
#include <torch/types.h>

#include <algorithm>
#include <atomic>
#include <numeric>
#include <optional>

#include "base/check.h"
#include "engine/head_logits.h"
#include "engine/prefix_cache.h"
#include "engine/rollout.h"
#include "nn/logprob.h"

namespace etrlrec {
namespace {

std::vector<float> to_floats(const at::Tensor& tensor) {
  const at::Tensor values = tensor.to(at::kCPU, at::kFloat).contiguous();
  return {values.const_data_ptr<float>(), values.const_data_ptr<float>() + values.numel()};
}

// For what the prompts of one call share, when the caller keeps no cache.
constexpr int64_t kOwnPrefixBytes = int64_t{64} << 20;

// All rows of a call: those that wait for room, those that grow, those that wait for their answer.
class Rollouts {
 public:
  Rollouts(const LanguageModel& model, std::span<const GenerationRequest> requests,
           const GenerationOptions& options, std::span<Completion> completions)
      : model_(model),
        requests_(requests),
        options_(options),
        prefixes_(options.prefix_cache != nullptr ? *options.prefix_cache : own_prefixes_),
        head_(model) {
    const auto per_prompt = static_cast<size_t>(options.completions_per_prompt);
    RolloutShape shape{.rows_per_prompt = options.completions_per_prompt};
    for (const GenerationRequest& request : requests)
      shape.prompt_tokens = std::max(shape.prompt_tokens, std::ssize(request.prompt));
    rows_.reserve(completions.size());
    for (size_t r = 0; r < completions.size(); ++r) {
      const GenerationRequest& request = requests[r / per_prompt];
      rows_.emplace_back(request, model.prompt_parts(request.prompt).text, options, r,
                         completions[r]);
      capacity_ = std::max(capacity_, RolloutRow::capacity(request, options));
    }
    shape.new_tokens = capacity_;
    open_.assign(requests.size(), options.completions_per_prompt);
    const int64_t most = options.max_batch > 0 ? options.max_batch
                                               : default_max_batch(model.key_value_bytes(), shape);
    room_ = std::min(std::max(most, options.completions_per_prompt),
                     static_cast<int64_t>(completions.size()));
  }

  void run() {
    prefixes_.serve(model_);
    const auto cache = model_.new_cache(room_, capacity_);
    at::Tensor hidden;
    while (true) {
      const at::Tensor entered = admit(*cache);
      if (entered.defined())
        hidden = hidden.defined() && hidden.size(0) > 0 ? at::cat({hidden, entered}) : entered;
      if (live_.empty()) break;
      const std::vector<int64_t> ids = drop_finished(*cache, step(hidden));
      hidden = ids.empty() ? at::Tensor() : model_.decode(*cache, ids);
    }
    answer_waiting_rows();
    report();
  }

 private:
  int64_t request_of(int64_t row) const { return row / options_.completions_per_prompt; }
  bool is_out(int64_t r) const {
    const RolloutRow& row = rows_[static_cast<size_t>(r)];
    return row.is_done() || row.awaits_answer();
  }

  // Prompts enter with all their completions, once an eighth of the room is free; the hidden states
  // of the new rows, undefined when none entered.
  at::Tensor admit(KvCache& cache) {
    const int64_t per_prompt = options_.completions_per_prompt;
    int64_t free = room_ - static_cast<int64_t>(live_.size());
    if (!live_.empty() && 8 * free < room_) return {};
    std::vector<std::span<const int64_t>> prompts;
    std::vector<int64_t> prompt_of_row;
    int64_t tokens = 0;  // to be computed, at most
    for (; next_ < static_cast<int64_t>(requests_.size()) && free >= per_prompt; ++next_) {
      const std::vector<int64_t>& prompt = requests_[static_cast<size_t>(next_)].prompt;
      const int64_t more = std::ssize(prompt) - prefixes_.known_tokens(prompt);
      if (tokens > 0 && tokens + more > options_.batch_tokens) break;
      bool enters = false;
      for (int64_t r = next_ * per_prompt; r < (next_ + 1) * per_prompt; ++r) {
        if (is_out(r)) {
          leave(r);
          continue;
        }
        enters = true;
        live_.push_back(r);
        prompt_of_row.push_back(std::ssize(prompts));
        --free;
      }
      if (!enters) continue;
      prompts.emplace_back(prompt);
      tokens += more;
    }
    if (prompts.empty()) return {};
    return admit_prompts(model_, cache, prompts, prompt_of_row, &prefixes_);
  }

  // One token for every live row.
  std::vector<int64_t> step(const at::Tensor& hidden) {
    std::vector<int64_t> ids(live_.size(), 0);
    std::atomic<bool> finite{true};
    head_.for_each_row(
        hidden, [&](int64_t i, std::span<const float> logits, SamplingScratch& scratch) {
          RolloutRow& row = rows_[static_cast<size_t>(live_[static_cast<size_t>(i)])];
          if (!row.step(logits, scratch)) finite = false;
          ids[static_cast<size_t>(i)] = row.completion().ids.back();
        });
    CHECK(finite, kNumbers,
          "generate: logits are not finite\nhint: the model's weights are damaged or diverged");
    if (options_.on_token)
      for (size_t i = 0; i < live_.size(); ++i) options_.on_token(live_[i], ids[i]);
    return ids;
  }

  // Removes rows that are out from the cache; returns the ids of those that stay.
  std::vector<int64_t> drop_finished(KvCache& cache, std::vector<int64_t> ids) {
    std::vector<int64_t> places, kept_ids, kept;
    for (size_t i = 0; i < live_.size(); ++i) {
      if (is_out(live_[i])) {
        leave(live_[i]);
        continue;
      }
      places.push_back(static_cast<int64_t>(i));
      kept_ids.push_back(ids[i]);
      kept.push_back(live_[i]);
    }
    if (kept.size() == live_.size()) return ids;
    cache.keep_rows(places);
    live_ = std::move(kept);
    if (waiting_tokens_ >= options_.batch_tokens) answer_waiting_rows();
    report();
    return kept_ids;
  }

  // Rows that await their answer are scored once all rows of their prompt have come so far.
  void leave(int64_t r) {
    const RolloutRow& row = rows_[static_cast<size_t>(r)];
    if (row.is_done()) {
      ++done_;
    } else {
      waiting_.push_back(r);
      waiting_tokens_ += static_cast<int64_t>(row.completion().ids.size());
    }
    const int64_t request = request_of(r);
    if (--open_[static_cast<size_t>(request)] == 0)
      waiting_tokens_ +=
          static_cast<int64_t>(requests_[static_cast<size_t>(request)].prompt.size());
  }
  void report() const {
    if (options_.on_progress) options_.on_progress(done_);
  }

  // Prompts of `rows` as roots, their completions as children; returns the last segment of each.
  std::vector<int64_t> plant(const std::vector<int64_t>& rows, TokenForest& forest) const {
    std::vector<int64_t> segments;
    int64_t root = -1, root_request = -1;
    for (int64_t r : rows) {
      if (request_of(r) != root_request) {
        root_request = request_of(r);
        root = model_.add_prompt(forest, requests_[static_cast<size_t>(root_request)].prompt);
      }
      const auto& ids = rows_[static_cast<size_t>(r)].completion().ids;
      segments.push_back(ids.empty() ? root : forest.add(root, ids));
    }
    return segments;
  }

  // Answers of several tokens: scored through tries below prompt and completion, then appended with
  // `finish`. Only prompts of which no row is still on its way; batch_tokens is the limit of a pass
  // for prompts, and for the tokens of answers, which are many where a whole catalogue is asked.
  void answer_waiting_rows() {
    std::vector<int64_t> ready, later;
    for (int64_t r : waiting_)
      (open_[static_cast<size_t>(request_of(r))] == 0 ? ready : later).push_back(r);
    waiting_ = std::move(later);
    std::sort(ready.begin(), ready.end());
    for (size_t begin = 0; begin < ready.size();) {
      size_t end = begin;
      int64_t tokens = 0, answer_tokens = 0;
      while (end < ready.size() && (end == begin || (tokens < options_.batch_tokens &&
                                                     answer_tokens < options_.batch_tokens))) {
        const int64_t request = request_of(ready[end]);
        const GenerationRequest& asked = requests_[static_cast<size_t>(request)];
        tokens += std::ssize(asked.prompt);
        int64_t below = 0;  // one completion
        for (const auto& answer : asked.answers) below += std::ssize(answer);
        for (; end < ready.size() && request_of(ready[end]) == request; ++end) {
          tokens += std::ssize(rows_[static_cast<size_t>(ready[end])].completion().ids);
          answer_tokens += below;
        }
      }
      answer(
          {ready.begin() + static_cast<int64_t>(begin), ready.begin() + static_cast<int64_t>(end)});
      begin = end;
    }
    waiting_tokens_ = 0;
  }

  // Moves what all answers begin with from them into the forest; returns the segment it ends with.
  static int64_t take_beginning(TokenForest& forest, int64_t segment, Answers& answers) {
    if (answers.size() < 2) return segment;
    const std::vector<int64_t>& first = answers.front();
    size_t shared = first.size() - 1;
    for (const auto& answer : answers) {
      const auto limit = static_cast<int64_t>(std::min(shared, answer.size() - 1));
      shared = static_cast<size_t>(
          std::mismatch(first.begin(), first.begin() + limit, answer.begin()).first -
          first.begin());
      if (shared == 0) return segment;
    }
    const int64_t end = forest.add(segment, std::span(first).first(shared));
    for (auto& answer : answers)
      answer.erase(answer.begin(), answer.begin() + static_cast<int64_t>(shared));
    return end;
  }

  void answer(const std::vector<int64_t>& rows) {
    std::vector<Answers> answers;
    for (int64_t r : rows) answers.push_back(rows_[static_cast<size_t>(r)].request().answers);
    TokenForest forest;
    const std::vector<int64_t> segments = plant(rows, forest);
    std::vector<at::Tensor> scores, masses;
    if (options_.answer_mass) {
      TokenForest below = forest;
      std::vector<int64_t> ends;
      for (size_t i = 0; i < rows.size(); ++i)
        ends.push_back(take_beginning(below, segments[i], answers[i]));
      for (const at::Tensor& sums : score_sequences(model_, std::move(below), ends, answers)) {
        scores.push_back(sums.log_softmax(-1));
        masses.push_back(sums.logsumexp(-1));
      }
    } else {
      scores = score_answers(model_, forest, segments, answers);
    }
    SamplingScratch scratch;
    for (size_t i = 0; i < rows.size(); ++i)
      rows_[static_cast<size_t>(rows[i])].choose_answer(
          to_floats(scores[i]), masses.empty() ? 0 : masses[i].item<float>(), scratch);
    append_answers(rows, segments, std::move(forest));
    done_ += static_cast<int64_t>(rows.size());
    report();
  }

  void append_answers(const std::vector<int64_t>& rows, const std::vector<int64_t>& segments,
                      TokenForest forest) {
    std::vector<int64_t> sources, targets;
    std::vector<std::vector<int64_t>> tails;
    for (size_t i = 0; i < rows.size(); ++i) {
      const RolloutRow& row = rows_[static_cast<size_t>(rows[i])];
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
    const at::Tensor hidden = model_.hidden_states_at(forest, sources);
    const std::vector<float> logprobs =
        to_floats(linear_logprob(hidden, model_.head_weight(), at::tensor(targets, at::kLong),
                                 false, model_.numerics())
                      .logprobs);
    size_t next = 0;
    for (size_t i = 0; i < rows.size(); ++i) {
      Completion& completion = rows_[static_cast<size_t>(rows[i])].completion();
      for (int64_t id : tails[i]) {
        completion.ids.push_back(id);
        completion.logprobs.push_back(logprobs[next++]);
        if (options_.on_token) options_.on_token(rows[i], id);
      }
    }
  }

  const LanguageModel& model_;
  std::span<const GenerationRequest> requests_;
  const GenerationOptions& options_;
  PrefixCache own_prefixes_{kOwnPrefixBytes, PrefixCache::Keeps::kSharedPrefixes};
  PrefixCache& prefixes_;
  HeadLogits head_;
  std::vector<RolloutRow> rows_;
  std::vector<int64_t> open_;        // rows of each request that have not left
  std::vector<int64_t> live_;        // live_[i]: row in place i of the cache
  std::vector<int64_t> waiting_;     // for their answer
  int64_t next_ = 0;                 // request that enters next
  int64_t room_ = 0, capacity_ = 1;  // of the cache
  int64_t waiting_tokens_ = 0, done_ = 0;
};

void check_request(const LanguageModel& model, const GenerationRequest& request,
                   const GenerationOptions& options, size_t i, bool same_answers) {
  CHECK(!request.prompt.empty(), kInput, "prompt {}: expected at least one token", i);
  const int64_t known = model.num_input_ids();
  for (int64_t id : request.prompt)
    CHECK(id >= 0 && id < known, kInput, "prompt {}: token id {} is not in the vocabulary of {}", i,
          id, known);
  if (!request.answers.empty() && !same_answers) check_answers(request.answers, model.vocab_size());
  const int64_t length =
      static_cast<int64_t>(request.prompt.size()) + RolloutRow::capacity(request, options);
  CHECK(length <= model.max_length(), kInput,
        "prompt {}: {} tokens and up to {} new ones are more than the model's {} positions", i,
        request.prompt.size(), RolloutRow::capacity(request, options), model.max_length());
}

void check_options(const LanguageModel& model, const GenerationOptions& options) {
  check_sampling(options.sampling);
  CHECK(options.completions_per_prompt > 0, kUsage,
        "completions per prompt: expected a positive number, found {}",
        options.completions_per_prompt);
  CHECK(options.max_batch >= 0, kUsage, "--max-batch: expected a number >= 0, found {}",
        options.max_batch);
  const int64_t vocab_size = model.vocab_size();
  for (const auto* tokens : {&options.format.close, &options.format.finish})
    for (int64_t id : *tokens)
      CHECK(id >= 0 && id < vocab_size, kInput,
            "reasoning format: token id {} is not in the vocabulary of {}", id, vocab_size);
  for (int64_t id : options.eos_ids)
    CHECK(id >= 0 && id < vocab_size, kInput, "end token {} is not in the vocabulary of {}", id,
          vocab_size);
}

}  // namespace

int64_t default_max_batch(int64_t key_value_bytes, const RolloutShape& shape) {
  constexpr int64_t kCacheBytes = int64_t{2} << 30, kMostRows = 1024;
  const int64_t tokens =
      std::max<int64_t>(shape.new_tokens + shape.prompt_tokens / shape.rows_per_prompt, 1);
  return std::clamp<int64_t>(kCacheBytes / (key_value_bytes * tokens), 1, kMostRows);
}

std::vector<Completion> generate(const LanguageModel& model,
                                 std::span<const GenerationRequest> requests,
                                 const GenerationOptions& options) {
  const at::NoGradGuard no_grad;
  check_options(model, options);
  for (size_t i = 0; i < requests.size(); ++i)
    check_request(model, requests[i], options, i,
                  i > 0 && requests[i].answers == requests[i - 1].answers);
  std::vector<Completion> completions(requests.size() *
                                      static_cast<size_t>(options.completions_per_prompt));
  if (!requests.empty()) Rollouts(model, requests, options, completions).run();
  return completions;
}

}  // namespace etrlrec
