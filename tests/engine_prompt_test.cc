// Virtual tokens in front of rollouts: the cache against full passes, sampling rules, beams.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "base/check.h"
#include "engine/beam.h"
#include "engine/engine.h"
#include "engine/logits_processor.h"
#include "models/model_adapters.h"
#include "models_fixture.h"

namespace etrlrec {
namespace {

constexpr int64_t kVirtual = 5, kRows = 3;

std::unique_ptr<LanguageModel> model_with_prompt(const LlmConfig& config) {
  std::unique_ptr<LanguageModel> model = new_decoder(config, 1);
  attach_prompt(*model, {kVirtual}, 2);
  return model;
}

// Prompts of several lengths behind the virtual tokens.
std::vector<GenerationRequest> requests_of(const LanguageModel& model) {
  std::vector<GenerationRequest> requests;
  for (int64_t r = 0; r < kRows; ++r) {
    GenerationRequest& request = requests.emplace_back();
    request.prompt = virtual_token_ids(model.vocab_size(), {kVirtual});
    const auto text = random_ids(3 + 4 * r, static_cast<uint64_t>(r));
    request.prompt.insert(request.prompt.end(), text.begin(), text.end());
  }
  return requests;
}

// Next-token log-probabilities below every token of the path, without a cache.
at::Tensor full_pass(const LanguageModel& model, const std::vector<int64_t>& path) {
  const at::NoGradGuard no_grad;
  TokenForest forest;
  forest.add(-1, path);
  return at::mm(model.hidden_states(forest), model.head_weight().t()).log_softmax(-1);
}

std::vector<int64_t> greedy_without_cache(const LanguageModel& model, std::vector<int64_t> path,
                                          int64_t length) {
  std::vector<int64_t> found;
  for (int64_t t = 0; t < length; ++t) {
    found.push_back(full_pass(model, path)[-1].argmax().item<int64_t>());
    path.push_back(found.back());
  }
  return found;
}

TEST(PromptRollouts, equal_full_passes_in_every_family) {
  for (const LlmConfig& config : small_families()) {
    const auto model = model_with_prompt(config);
    const auto requests = requests_of(*model);
    GenerationOptions options;
    options.completions_per_prompt = 2;
    options.max_new_tokens = 12;
    for (const double temperature : {0.0, 1.0}) {
      options.sampling.temperature = temperature;
      const auto completions = generate(*model, requests, options);
      ASSERT_EQ(completions.size(), 2u * kRows);
      for (size_t i = 0; i < completions.size(); ++i) {
        std::vector<int64_t> path = requests[i / 2].prompt;
        const auto begin = std::ssize(path);
        if (temperature == 0) {
          EXPECT_EQ(completions[i].ids, greedy_without_cache(*model, path, 12))
              << config.model_type;
        }
        path.insert(path.end(), completions[i].ids.begin(), completions[i].ids.end());
        const at::Tensor expected = full_pass(*model, path);
        for (int64_t t = 0; t < std::ssize(completions[i].ids); ++t)
          EXPECT_NEAR(
              completions[i].logprobs[static_cast<size_t>(t)],
              expected[begin + t - 1][completions[i].ids[static_cast<size_t>(t)]].item<float>(),
              2e-4)
              << config.model_type;
      }
    }
  }
}

TEST(PromptRollouts, depend_on_the_prompt_and_not_on_real_tokens_in_its_place) {
  const auto model = model_with_prompt(small_config());
  const auto requests = requests_of(*model);
  GenerationOptions options;
  options.max_new_tokens = 12;
  options.sampling.temperature = 0;
  const auto before = generate(*model, requests, options);
  {
    const at::NoGradGuard no_grad;
    model->parameters().at("prompt_embeddings").mul_(-3);
  }
  const auto after = generate(*model, requests, options);
  EXPECT_NE(before[0].logprobs, after[0].logprobs);
}

TEST(PromptRollouts, beams_equal_full_passes) {
  const auto model = model_with_prompt(small_config());
  std::vector<BeamRequest> requests;
  for (const GenerationRequest& request : requests_of(*model))
    requests.push_back({request.prompt, nullptr});
  BeamOptions options;
  options.num_beams = 3;
  options.max_new_tokens = 6;
  const auto found = beam_search(*model, requests, options);
  for (size_t r = 0; r < requests.size(); ++r) {
    for (const Hypothesis& hypothesis : found[r]) {
      std::vector<int64_t> path = requests[r].prompt;
      const auto begin = std::ssize(path);
      path.insert(path.end(), hypothesis.ids.begin(), hypothesis.ids.end());
      const at::Tensor expected = full_pass(*model, path);
      for (int64_t t = 0; t < std::ssize(hypothesis.ids); ++t)
        EXPECT_NEAR(hypothesis.logprobs[static_cast<size_t>(t)],
                    expected[begin + t - 1][hypothesis.ids[static_cast<size_t>(t)]].item<float>(),
                    2e-4);
    }
  }
}

// Rules on the tokens so far know real ones only.
TEST(PromptRollouts, rules_of_sampling_pass_virtual_tokens_by) {
  const std::vector<float> logits{1, -1, 2, 0.5, 3};
  const std::vector<int64_t> text{2, 4, 2}, with_virtual{5, 6, 7, 2, 4, 2};
  for (const SamplingOptions& options :
       {SamplingOptions{.repetition_penalty = 2}, SamplingOptions{.no_repeat_ngram_size = 1},
        SamplingOptions{.no_repeat_ngram_size = 2}}) {
    SamplingScratch first, second;
    const auto expected = process_logits(logits, {text, {}}, options, {}, first);
    const auto found = process_logits(logits, {with_virtual, {}}, options, {}, second);
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), found.begin(), found.end()));
    EXPECT_FALSE(std::equal(found.begin(), found.end(), logits.begin(), logits.end()));
  }
}

TEST(PromptRollouts, refuse_virtual_tokens_that_are_not_there) {
  const auto with = model_with_prompt(small_config());
  const auto without = new_decoder(small_config(), 1);
  EXPECT_EQ(with->num_input_ids(), 61 + kVirtual);
  EXPECT_EQ(without->num_input_ids(), 61);
  std::vector<GenerationRequest> requests = requests_of(*with);
  EXPECT_THROW(generate(*without, requests, {}), Error);
  requests[0].prompt[0] = 61 + kVirtual;
  EXPECT_THROW(generate(*with, requests, {}), Error);
  requests = requests_of(*with);
  GenerationOptions options;
  options.max_new_tokens = small_config().max_position_embeddings - kVirtual;
  EXPECT_THROW(generate(*with, requests, options), Error);  // virtual tokens take positions
}

}  // namespace
}  // namespace etrlrec
