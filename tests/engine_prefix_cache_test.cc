// The prefix cache: the same completions with and without it, the budget of bytes, who leaves
// first, and that nothing outlives a change of the model.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "base/check.h"
#include "base/json.h"
#include "engine/beam.h"
#include "engine/engine.h"
#include "engine/prefix_cache.h"
#include "engine_fake_llm.h"
#include "models_fixture.h"

namespace etrlrec {
namespace {

using Ids = std::vector<int64_t>;

Ids fake_ids(int64_t length, uint64_t index) {
  Rng rng(8, "prefix-test", index);
  Ids ids;
  for (int64_t i = 0; i < length; ++i) ids.push_back(static_cast<int64_t>(rng.below(24)));
  return ids;
}

Ids joined(std::initializer_list<Ids> parts) {
  Ids all;
  for (const Ids& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

GenerationOptions free_text(PrefixCache* cache = nullptr) {
  GenerationOptions options;
  options.completions_per_prompt = 2;
  options.max_new_tokens = 10;
  options.eos_ids = {0};
  options.prefix_cache = cache;
  return options;
}

std::vector<GenerationRequest> requests_of(const std::vector<Ids>& prompts) {
  std::vector<GenerationRequest> requests;
  for (const Ids& prompt : prompts) requests.push_back({prompt, {}});
  return requests;
}

void expect_same(const std::vector<Completion>& a, const std::vector<Completion>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].ids, b[i].ids) << i;
    ASSERT_EQ(a[i].logprobs.size(), b[i].logprobs.size());
    for (size_t t = 0; t < a[i].logprobs.size(); ++t)
      EXPECT_NEAR(a[i].logprobs[t], b[i].logprobs[t], 1e-4) << i << " " << t;
  }
}

// The slow twin: every prompt in a call of its own, so nothing is shared.
std::vector<Completion> one_by_one(const LanguageModel& model, const std::vector<Ids>& prompts) {
  GenerationOptions options = free_text();
  options.sampling.temperature = 0;
  std::vector<Completion> all;
  for (const Ids& prompt : prompts) {
    const GenerationRequest request{prompt, {}};
    for (Completion& one : generate(model, std::span(&request, 1), options))
      all.push_back(std::move(one));
  }
  return all;
}

std::vector<Completion> greedy(const LanguageModel& model, const std::vector<Ids>& prompts,
                               PrefixCache* cache) {
  GenerationOptions options = free_text(cache);
  options.sampling.temperature = 0;
  return generate(model, requests_of(prompts), options);
}

// Prompts that share beginnings of many lengths with each other.
std::vector<Ids> branching_prompts(uint64_t seed, int64_t count, int64_t vocab_size) {
  Rng rng(seed, "branching");
  std::vector<Ids> prompts;
  for (int64_t p = 0; p < count; ++p) {
    Ids prompt;
    if (p > 0 && !rng.chance(0.1)) {
      const Ids& from = prompts[rng.below(static_cast<uint64_t>(p))];
      prompt.assign(from.begin(), from.begin() + static_cast<int64_t>(rng.below(from.size() + 1)));
    }
    const int64_t more = static_cast<int64_t>(rng.below(rng.chance(0.3) ? 120 : 12));
    for (int64_t t = 0; t < more || prompt.empty(); ++t)
      prompt.push_back(static_cast<int64_t>(rng.below(static_cast<uint64_t>(vocab_size))));
    if (prompt.size() > 300) prompt.resize(300);
    prompts.push_back(prompt);
  }
  return prompts;
}

// With room for everything: all but a prompt's last token, and what is shorter than a block of
// keys.
void expect_all_known(const PrefixCache& cache, const std::vector<Ids>& prompts) {
  for (const Ids& prompt : prompts) EXPECT_GE(cache.known_tokens(prompt), std::ssize(prompt) - 16);
  EXPECT_EQ(cache.statistics().evicted, 0);
}

TEST(PrefixCache, changes_no_completion) {
  const FakeLlm model;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    const std::vector<Ids> prompts = branching_prompts(seed, 60, 24);
    const auto expected = one_by_one(model, prompts);
    for (const int64_t budget : {0, 3000, 30000, 1 << 30}) {
      PrefixCache cache(budget);
      for (int round = 0; round < 2; ++round)
        for (size_t begin = 0; begin < prompts.size(); begin += 7) {
          const size_t count = std::min<size_t>(7, prompts.size() - begin);
          const std::vector<Ids> some(prompts.begin() + static_cast<int64_t>(begin),
                                      prompts.begin() + static_cast<int64_t>(begin + count));
          expect_same(greedy(model, some, &cache),
                      {expected.begin() + static_cast<int64_t>(2 * begin),
                       expected.begin() + static_cast<int64_t>(2 * (begin + count))});
          EXPECT_LE(cache.statistics().bytes, budget);
        }
      if (budget == 1 << 30) expect_all_known(cache, prompts);
    }
    expect_same(greedy(model, prompts, nullptr), expected);
  }
}

TEST(PrefixCache, changes_no_completion_of_a_decoder) {
  for (const LlmConfig& config : small_families()) {
    SCOPED_TRACE(config.model_type);
    const auto model = new_decoder(config, 1);
    const std::vector<Ids> prompts = branching_prompts(3, 24, 61);
    const auto expected = one_by_one(*model, prompts);
    PrefixCache cache(1 << 30);
    for (int round = 0; round < 2; ++round)
      for (size_t begin = 0; begin < prompts.size(); begin += 6) {
        const std::vector<Ids> some(prompts.begin() + static_cast<int64_t>(begin),
                                    prompts.begin() + static_cast<int64_t>(begin + 6));
        expect_same(greedy(*model, some, &cache),
                    {expected.begin() + static_cast<int64_t>(2 * begin),
                     expected.begin() + static_cast<int64_t>(2 * begin + 12)});
      }
    expect_all_known(cache, prompts);
    expect_same(greedy(*model, prompts, nullptr), expected);
  }
}

TEST(PrefixCache, changes_no_beam) {
  for (const LlmConfig& config : small_families()) {
    SCOPED_TRACE(config.model_type);
    const auto model = new_decoder(config, 1);
    PrefixCache cache(1 << 30);
    BeamOptions plain, cached;
    plain.num_beams = cached.num_beams = 3;
    plain.max_new_tokens = cached.max_new_tokens = 6;
    cached.prefix_cache = &cache;
    Ids prompt = random_ids(40, 1);
    for (uint64_t turn = 0; turn < 4; ++turn) {
      const Ids more = random_ids(5 + 9 * static_cast<int64_t>(turn), 2 + turn);
      prompt.insert(prompt.end(), more.begin(), more.end());
      const BeamRequest request{prompt, nullptr};
      const auto expected = beam_search(*model, std::span(&request, 1), plain)[0];
      const auto found = beam_search(*model, std::span(&request, 1), cached)[0];
      ASSERT_EQ(found.size(), expected.size());
      for (size_t k = 0; k < found.size(); ++k) {
        EXPECT_EQ(found[k].ids, expected[k].ids);
        EXPECT_NEAR(found[k].score, expected[k].score, 1e-4);
      }
    }
    EXPECT_EQ(cache.statistics().hits, 3);
  }
}

TEST(PrefixCache, computes_what_prompts_of_one_call_share_once) {
  const FakeLlm model;
  const Ids instruction = fake_ids(100, 1);
  std::vector<Ids> prompts;
  for (uint64_t p = 0; p < 30; ++p) prompts.push_back(joined({instruction, fake_ids(30, 10 + p)}));
  model.prefilled_tokens_ = 0;
  greedy(model, prompts, nullptr);
  EXPECT_EQ(model.prefilled_tokens_, 100 + 30 * 30);
  model.prefilled_tokens_ = 0;
  GenerationOptions options = free_text();
  options.max_batch = 4;  // they enter one after the other
  generate(model, requests_of(prompts), options);
  EXPECT_EQ(model.prefilled_tokens_, 100 + 30 * 30);
  options.batch_tokens = 1;  // alone: at first nobody knows that it will be shared
  model.prefilled_tokens_ = 0;
  generate(model, requests_of(prompts), options);
  EXPECT_EQ(model.prefilled_tokens_, 30 * 130);
}

TEST(PrefixCache, computes_only_what_a_conversation_adds) {
  const FakeLlm model;
  PrefixCache cache(1 << 20);
  Ids talk = fake_ids(50, 1);
  for (uint64_t turn = 0; turn < 6; ++turn) {
    model.prefilled_tokens_ = 0;
    const Ids more = fake_ids(20, 2 + turn);
    talk.insert(talk.end(), more.begin(), more.end());
    greedy(model, {talk}, &cache);
    EXPECT_EQ(model.prefilled_tokens_, turn == 0 ? 70 : 20);
  }
  model.prefilled_tokens_ = 0;
  greedy(model, {talk}, &cache);  // the same again: its last token decides what follows
  EXPECT_LE(model.prefilled_tokens_, 20);
  greedy(model, {Ids(talk.begin(), talk.begin() + 95)}, &cache);  // the beginning of a known one
  const PrefixCache::Statistics& s = cache.statistics();
  EXPECT_EQ(s.prompts, 8);
  EXPECT_EQ(s.hits, 7);
  EXPECT_EQ(s.tokens, 70 + 90 + 110 + 130 + 150 + 170 + 170 + 95);
  EXPECT_EQ(s.tokens_reused + s.tokens_computed, s.tokens);
}

constexpr int64_t kBytesOfToken = FakeLlm::kBytesOfToken + 8;

TEST(PrefixCache, stays_within_its_budget_and_lets_the_oldest_go) {
  const FakeLlm model;
  PrefixCache cache(3 * 40 * kBytesOfToken);
  const auto prompt = [](uint64_t p) { return fake_ids(40, p); };
  const auto is_known = [&](uint64_t p) { return cache.known_tokens(prompt(p)) > 0; };
  for (uint64_t p : {1, 2, 3, 1}) greedy(model, {prompt(p)}, &cache);  // 2 is the oldest now
  EXPECT_EQ(cache.statistics().bytes, 3 * 40 * kBytesOfToken);
  EXPECT_EQ(cache.statistics().segments, 3);
  EXPECT_EQ(cache.statistics().evicted, 0);
  greedy(model, {prompt(4)}, &cache);
  EXPECT_FALSE(is_known(2));
  for (uint64_t p : {1, 3, 4}) EXPECT_TRUE(is_known(p)) << p;
  greedy(model, {prompt(5)}, &cache);  // looking things up is no use of them
  EXPECT_FALSE(is_known(3));
  for (uint64_t p : {1, 4, 5}) EXPECT_TRUE(is_known(p)) << p;
  EXPECT_EQ(cache.statistics().evicted, 2);
  EXPECT_EQ(cache.statistics().bytes, 3 * 40 * kBytesOfToken);
  cache.clear();
  EXPECT_EQ(cache.statistics().bytes, 0);
  for (uint64_t p : {1, 4, 5}) EXPECT_FALSE(is_known(p)) << p;
}

TEST(PrefixCache, keeps_what_others_stand_on) {
  const FakeLlm model;
  PrefixCache cache(200 * kBytesOfToken);
  const Ids instruction = fake_ids(60, 1);
  for (uint64_t p = 0; p < 30; ++p) {
    greedy(model, {joined({instruction, fake_ids(50, 10 + p)})}, &cache);
    EXPECT_GE(cache.known_tokens(joined({instruction, {1, 2}})), 60);
    EXPECT_LE(cache.statistics().bytes, 200 * kBytesOfToken);
  }
}

TEST(PrefixCache, does_without_what_is_too_large) {
  const FakeLlm model;
  PrefixCache cache(30 * kBytesOfToken);
  greedy(model, {fake_ids(20, 1)}, &cache);
  greedy(model, {fake_ids(31, 2)}, &cache);
  EXPECT_EQ(cache.statistics().too_large, 1);
  EXPECT_EQ(cache.statistics().segments, 1);
  EXPECT_EQ(cache.known_tokens(fake_ids(20, 1)), 19);
  // Its own beginning is no reason to throw out that beginning.
  greedy(model, {joined({fake_ids(20, 1), fake_ids(15, 3)})}, &cache);
  EXPECT_EQ(cache.statistics().too_large, 2);
  EXPECT_EQ(cache.known_tokens(fake_ids(20, 1)), 19);
}

TEST(PrefixCache, forgets_when_weights_or_adapter_change) {
  const auto model = new_decoder(small_config(), 1), other = new_decoder(small_config(), 2);
  PrefixCache cache(1 << 30);
  const std::vector<Ids> prompts{random_ids(40, 1)};
  int64_t times = 0;
  const auto expect_forgotten = [&](const LanguageModel& with) {
    const int64_t hits = cache.statistics().hits;
    expect_same(greedy(with, prompts, &cache), greedy(with, prompts, nullptr));
    EXPECT_EQ(cache.statistics().hits, hits);
    EXPECT_EQ(cache.statistics().invalidated, ++times);
    expect_same(greedy(with, prompts, &cache), greedy(with, prompts, nullptr));
    EXPECT_EQ(cache.statistics().hits, hits + 1);
  };
  greedy(*model, prompts, &cache);
  {
    const at::NoGradGuard no_grad;
    model->parameters().at("model.layers.0.mlp.up_proj.weight").mul_(1.5);
  }
  expect_forgotten(*model);
  model->adapters().attach({4, 8, {}}, 3);
  for (auto& [name, tensor] : model->parameters()) {
    const at::NoGradGuard no_grad;
    if (name.ends_with("lora_B.weight")) tensor.fill_(0.05);
  }
  expect_forgotten(*model);
  model->adapters().set_enabled(false);
  expect_forgotten(*model);
  model->adapters().set_enabled(true);
  expect_forgotten(*model);
  model->adapters().merge();
  expect_forgotten(*model);
  expect_forgotten(*other);
}

TEST(PrefixCache, refuses_a_negative_budget) { EXPECT_THROW(PrefixCache(-1), Error); }

}  // namespace
}  // namespace etrlrec
