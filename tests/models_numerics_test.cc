// Numerics belong to a model: whole models by plain ATen operations against the kernels (forward,
// backward, generation), and two models of one process that compute in different ways.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "base/check.h"
#include "engine/engine.h"
#include "models/decoder.h"
#include "models/sasrec.h"
#include "models_fixture.h"
#include "nn/logprob.h"
#include "own_functions.h"

namespace etrlrec {
namespace {

const Numerics kFast{Arithmetic::kFloat}, kPlain{Arithmetic::kReference};
constexpr double kTolerance = 1e-4;

TokenForest shared_prompts() {
  TokenForest forest;
  const int64_t root = forest.add(-1, random_ids(21, 1));
  forest.add(root, random_ids(9, 2));
  const int64_t middle = forest.add(root, random_ids(14, 3));
  forest.add(middle, random_ids(6, 4));
  forest.add(-1, random_ids(12, 5));
  return forest;
}

std::vector<LlmConfig> configs() {
  std::vector<LlmConfig> all = small_families();
  all.push_back(small_config());  // 40 query heads on one key head: more than a tile has rows
  all.back().num_attention_heads = 40;
  all.back().num_key_value_heads = 1;
  return all;
}

TEST(Numerics, a_decoder_computes_the_same_by_plain_operations) {
  const TokenForest forest = shared_prompts();
  for (const LlmConfig& config : configs()) {
    SCOPED_TRACE(config.model_type);
    const auto fast = new_decoder(config, 1, kFast), plain = new_decoder(config, 1, kPlain);
    at::Tensor states[2];
    const LanguageModel* models[] = {fast.get(), plain.get()};
    for (int i = 0; i < 2; ++i) {
      states[i] = models[i]->hidden_states(forest);
      const at::Tensor targets = at::tensor(forest.ids, at::kLong);
      linear_nll(states[i], models[i]->head_weight(), targets,
                 at::full({forest.num_tokens()}, 0.02), models[i]->numerics())
          .backward();
    }
    EXPECT_FALSE(own_functions(states[0]).empty());
    EXPECT_TRUE(own_functions(states[1]).empty()) << *own_functions(states[1]).begin();
    EXPECT_LT(relative_difference(states[1], states[0]), kTolerance);
    for (const auto& [name, tensor] : fast->parameters())
      EXPECT_LT(relative_difference(plain->parameters().at(name).grad(), tensor.grad()),
                10 * kTolerance)
          << name;
  }
}

// Prompts enter a cache in two admissions, the second behind keys of the first; rows grow, multiply
// and leave.
std::vector<at::Tensor> cached_states(const LanguageModel& model) {
  const TokenForest prompts = shared_prompts();
  std::vector<at::Tensor> out;
  std::vector<SharedPromptKeys> keys(prompts.segments.size());
  at::Tensor hidden;
  const auto cache = model.new_cache(8, 12);
  model.admit(*cache, prompts, std::vector<int64_t>{1, 3, 4}, hidden, keys);
  out.push_back(hidden);
  for (const size_t segment : {1, 3, 4}) keys[segment] = nullptr;  // those are computed again
  model.admit(*cache, prompts, std::vector<int64_t>{3, 1}, hidden, keys);
  out.push_back(hidden);
  for (int64_t step = 0; step < 5; ++step)
    out.push_back(model.decode(*cache, std::vector<int64_t>{step, 3, 7, 9 + step, 4}));
  cache->keep_rows(std::vector<int64_t>{4, 0, 0, 2});
  for (int64_t step = 0; step < 5; ++step)
    out.push_back(model.decode(*cache, std::vector<int64_t>{1, step, 8, 2}));
  return out;
}

TEST(Numerics, a_decoder_grows_the_same_texts_by_plain_operations) {
  const at::NoGradGuard no_grad;
  for (const LlmConfig& config : configs()) {
    SCOPED_TRACE(config.model_type);
    const auto fast = cached_states(*new_decoder(config, 1, kFast)),
               plain = cached_states(*new_decoder(config, 1, kPlain));
    for (size_t i = 0; i < fast.size(); ++i)
      EXPECT_LT(relative_difference(plain[i], fast[i]), kTolerance) << i;
  }
}

TEST(Numerics, generation_chooses_the_same_tokens_by_plain_operations) {
  std::vector<GenerationRequest> requests(2);
  for (size_t r = 0; r < requests.size(); ++r) requests[r].prompt = random_ids(15, 7 + r);
  GenerationOptions options;
  options.max_new_tokens = 12;
  options.completions_per_prompt = 3;
  const auto fast = generate(*new_decoder(small_config(), 1, kFast), requests, options),
             plain = generate(*new_decoder(small_config(), 1, kPlain), requests, options);
  for (size_t c = 0; c < fast.size(); ++c) EXPECT_EQ(plain[c].ids, fast[c].ids) << c;
}

TEST(Numerics, two_models_of_one_process_compute_in_their_own_ways) {
  if (!supports_bfloat16()) GTEST_SKIP() << "the machine has no AVX512_BF16";
  TokenForest forest;
  forest.add(-1, random_ids(140, 1));
  LlmConfig config = small_config();
  config.head_dim = 32;
  const auto frozen = [&](Arithmetic arithmetic) {
    auto model = new_decoder(config, 1, {arithmetic});
    for (auto& [name, tensor] : model->parameters())
      if (tensor.dim() == 2) tensor = tensor.detach().to(at::kBFloat16);
    return model;
  };
  const at::NoGradGuard no_grad;
  const auto exact = frozen(Arithmetic::kFloat), rounded = frozen(Arithmetic::kBFloat16),
             reference = frozen(Arithmetic::kReference);
  const at::Tensor first = exact->hidden_states(forest), second = rounded->hidden_states(forest),
                   third = reference->hidden_states(forest);
  EXPECT_LT(relative_difference(third, first), kTolerance);
  EXPECT_GT(relative_difference(second, first), 1e-3);
  EXPECT_LT(relative_difference(second, first), 0.1);
  // Neither changed the other.
  EXPECT_TRUE(at::equal(exact->hidden_states(forest), first));
  EXPECT_TRUE(at::equal(rounded->hidden_states(forest), second));
  EXPECT_EQ(2 * rounded->key_value_bytes(), exact->key_value_bytes());
}

TEST(Numerics, sasrec_computes_the_same_by_plain_operations) {
  SasrecConfig config;
  config.num_items = 50;
  config.hidden_size = 16;
  config.intermediate_size = 32;
  ItemSequences forest;
  forest.add(-1, std::vector<int64_t>{3, 9, 41, 7});
  forest.add(-1, std::vector<int64_t>{8, 1});
  for (const bool norm_first : {true, false}) {
    config.norm_first = norm_first;
    Sasrec fast(config, 1), plain(config, 1);
    fast.set_numerics(kFast);
    plain.set_numerics(kPlain);
    Rng a(1, "dropout"), b(1, "dropout");
    const at::Tensor expected = fast.hidden_states(forest, &a),
                     found = plain.hidden_states(forest, &b);
    EXPECT_TRUE(own_functions(found).empty());
    EXPECT_LT(relative_difference(found, expected), kTolerance);
    expected.square().sum().backward();
    found.square().sum().backward();
    for (const auto& [name, tensor] : fast.parameters()) {
      if (!tensor.grad().defined() || tensor.grad().abs().max().item<float>() < 1e-3f) continue;
      EXPECT_LT(relative_difference(plain.parameters().at(name).grad(), tensor.grad()),
                10 * kTolerance)
          << name;
    }
  }
}

}  // namespace
}  // namespace etrlrec
