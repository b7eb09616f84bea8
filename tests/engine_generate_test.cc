// Rollouts: the same completions however they are batched, recorded log-probabilities that a fresh
// pass confirms, forced closes at the budget, and answers chosen among those allowed.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "base/check.h"
#include "engine/engine.h"
#include "engine_fake_llm.h"
#include "models/decoder.h"
#include "threads_scope.h"

namespace etrlrec {
namespace {

constexpr int64_t kEos = 0;
const Answers kSingle{{3}, {7}, {5}, {11}};
const Answers kDigits{{1, 9}, {1, 0, 9}, {2, 9}};
const Answers kLed{{4, 6, 3}, {4, 6, 7, 2}, {4, 6, 5}};

std::vector<GenerationRequest> some_requests(int64_t count, const Answers& answers) {
  std::vector<GenerationRequest> requests;
  for (int64_t i = 0; i < count; ++i) {
    std::vector<int64_t> prompt;
    for (int64_t t = 0; t <= i % 5; ++t) prompt.push_back((7 * i + t) % 24);
    requests.push_back({prompt, answers});
  }
  return requests;
}

GenerationOptions reasoning_options() {
  GenerationOptions options;
  options.format = {.close = {20, 21}, .finish = {22, kEos}, .max_reasoning_tokens = 60};
  options.completions_per_prompt = 3;
  options.eos_ids = {kEos};
  return options;
}

void expect_same(const std::vector<Completion>& a, const std::vector<Completion>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].ids, b[i].ids) << i;
    EXPECT_EQ(a[i].answer, b[i].answer);
    EXPECT_EQ(a[i].reasoning_tokens, b[i].reasoning_tokens);
    EXPECT_EQ(a[i].forced_close, b[i].forced_close);
    ASSERT_EQ(a[i].logprobs.size(), b[i].logprobs.size());
    for (size_t t = 0; t < a[i].logprobs.size(); ++t)
      EXPECT_NEAR(a[i].logprobs[t], b[i].logprobs[t], 1e-5);
  }
}

// Every recorded number against fresh passes over the finished text.
void expect_consistent(const FakeLlm& model, const GenerationRequest& request,
                       const GenerationOptions& options, const Completion& completion) {
  std::vector<int64_t> path = request.prompt;
  ASSERT_EQ(completion.ids.size(), completion.logprobs.size());
  for (size_t t = 0; t < completion.ids.size(); ++t) {
    EXPECT_NEAR(completion.logprobs[t],
                model.next_logprobs(path)[static_cast<size_t>(completion.ids[t])], 1e-5);
    path.push_back(completion.ids[t]);
  }
  if (request.answers.empty()) return;
  std::vector<int64_t> expected(completion.ids.begin(),
                                completion.ids.begin() + completion.reasoning_tokens);
  std::vector<int64_t> prefix = request.prompt;
  for (const auto* part :
       {&options.format.close, &request.answers[static_cast<size_t>(completion.answer)],
        &options.format.finish}) {
    if (part == &request.answers[static_cast<size_t>(completion.answer)])
      prefix.insert(prefix.end(), expected.begin(), expected.end());
    expected.insert(expected.end(), part->begin(), part->end());
  }
  EXPECT_EQ(completion.ids, expected);
  const at::Tensor row = answer_logprobs(model, std::vector<std::vector<int64_t>>{prefix},
                                         std::vector<Answers>{request.answers})[0];
  for (size_t k = 0; k < request.answers.size(); ++k)
    EXPECT_NEAR(completion.answer_logprobs[k], row[static_cast<int64_t>(k)].item<float>(), 1e-5);
  const at::Tensor sums = sequence_logprobs(model, std::vector<std::vector<int64_t>>{prefix},
                                            std::vector<Answers>{request.answers})[0];
  float mass = sums.logsumexp(0).item<float>();
  if (request.answers == kLed)  // what all answers begin with is given
    mass -= sequence_logprobs(model, std::vector<std::vector<int64_t>>{prefix},
                              std::vector<Answers>{{{4, 6}}})[0]
                .item<float>();
  EXPECT_NEAR(completion.answer_mass, options.answer_mass ? mass : 0.0f, 1e-4);
}

TEST(Generate, records_what_a_fresh_pass_over_the_text_gives) {
  const FakeLlm model;
  for (const Answers& answers : {kSingle, kDigits, kLed, Answers{}}) {
    const auto requests = some_requests(6, answers);
    GenerationOptions options = reasoning_options();
    for (const bool answer_mass : {false, true}) {
      options.answer_mass = answer_mass;
      const auto completions = generate(model, requests, options);
      ASSERT_EQ(completions.size(), 18u);
      for (size_t i = 0; i < completions.size(); ++i)
        expect_consistent(model, requests[i / 3], options, completions[i]);
    }
  }
}

TEST(Generate, gives_the_same_completions_one_by_one) {
  const FakeLlm model;
  for (const Answers& answers : {kSingle, kDigits, Answers{}}) {
    const auto requests = some_requests(12, answers);
    GenerationOptions options = reasoning_options();
    const auto together = generate(model, requests, options);
    options.batch_tokens = 1;
    expect_same(together, generate(model, requests, options));
  }
}

// The real decoder: the cache, the forest and the batch agree.
TEST(Generate, records_what_the_decoder_gives_in_one_pass) {
  LlmConfig config;
  config.vocab_size = 24;
  config.hidden_size = 32;
  config.intermediate_size = 48;
  config.num_hidden_layers = 2;
  config.initializer_range = 0.3;
  const auto model = new_decoder(config, 1);
  const auto requests = some_requests(7, kDigits);
  GenerationOptions options = reasoning_options();
  const auto completions = generate(*model, requests, options);
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < completions.size(); ++i) {
    std::vector<int64_t> path = requests[i / 3].prompt;
    const auto begin = static_cast<int64_t>(path.size());
    path.insert(path.end(), completions[i].ids.begin(), completions[i].ids.end());
    TokenForest forest;
    forest.add(-1, path);
    const at::Tensor logprobs =
        at::mm(model->hidden_states(forest), model->head_weight().t()).log_softmax(-1);
    for (size_t t = 0; t < completions[i].ids.size(); ++t)
      EXPECT_NEAR(
          completions[i].logprobs[t],
          logprobs[begin + static_cast<int64_t>(t) - 1][completions[i].ids[t]].item<float>(), 2e-4);
  }
  options.batch_tokens = 1;
  const auto single = generate(*model, requests, options);
  for (size_t i = 0; i < single.size(); ++i) EXPECT_EQ(single[i].ids, completions[i].ids);
}

TEST(Generate, gives_the_same_completions_with_one_and_two_threads) {
  const FakeLlm model(5000);
  const auto requests = some_requests(8, kSingle);
  const ThreadsScope single(1);
  const auto one = generate(model, requests, reasoning_options());
  const ThreadsScope both(2);
  const auto two = generate(model, requests, reasoning_options());
  expect_same(one, two);
}

TEST(Generate, depends_on_the_seed_only) {
  const FakeLlm model;
  const auto requests = some_requests(4, kSingle);
  GenerationOptions options = reasoning_options();
  const auto first = generate(model, requests, options);
  expect_same(first, generate(model, requests, options));
  options.sampling.seed = 43;
  EXPECT_NE(first[0].ids, generate(model, requests, options)[0].ids);
  EXPECT_NE(first[0].ids, first[1].ids);  // completions of one prompt have streams of their own
}

TEST(Generate, closes_by_force_at_the_budget) {
  const FakeLlm model;
  GenerationOptions options = reasoning_options();
  options.format.max_reasoning_tokens = 2;
  for (const Completion& completion : generate(model, some_requests(10, kSingle), options)) {
    EXPECT_LE(completion.reasoning_tokens, 2);
    EXPECT_EQ(completion.ids.size(), static_cast<size_t>(completion.reasoning_tokens) + 5);
    if (!completion.forced_close) {
      EXPECT_EQ(completion.reasoning_tokens, 0);
    }
  }
  options.format.max_reasoning_tokens = 0;
  const auto none = generate(model, some_requests(1, kSingle), options)[0];
  EXPECT_TRUE(none.forced_close);
  EXPECT_EQ(none.reasoning_tokens, 0);
}

TEST(Generate, keeps_an_end_token_in_the_reasoning_and_closes_behind_it) {
  const FakeLlm model;
  int seen = 0;
  for (const Completion& completion :
       generate(model, some_requests(40, kSingle), reasoning_options())) {
    const auto reasoning =
        std::span(completion.ids).first(static_cast<size_t>(completion.reasoning_tokens));
    const auto end = std::find(reasoning.begin(), reasoning.end(), kEos);
    if (end == reasoning.end()) continue;
    ++seen;
    EXPECT_EQ(end + 1, reasoning.end());
    EXPECT_TRUE(completion.forced_close);
  }
  EXPECT_GT(seen, 0);
}

TEST(Generate, answers_at_once_without_a_close) {
  const FakeLlm model;
  GenerationOptions options = reasoning_options();
  options.format = {.close = {}, .finish = {kEos}, .max_reasoning_tokens = 0};
  for (const Completion& completion : generate(model, some_requests(5, kSingle), options)) {
    EXPECT_EQ(completion.ids.size(), 2u);
    EXPECT_FALSE(completion.forced_close);
  }
}

TEST(Generate, chooses_the_best_answer_at_temperature_zero) {
  const FakeLlm model;
  GenerationOptions options = reasoning_options();
  options.sampling.temperature = 0;
  for (const Answers& answers : {kSingle, kDigits})
    for (const Completion& completion : generate(model, some_requests(5, answers), options)) {
      const auto& row = completion.answer_logprobs;
      EXPECT_EQ(std::max_element(row.begin(), row.end()) - row.begin(), completion.answer);
    }
}

TEST(Generate, ends_free_text_at_eos_or_the_limit) {
  const FakeLlm model;
  GenerationOptions options = reasoning_options();
  options.max_new_tokens = 12;
  int ended = 0;
  for (const Completion& completion : generate(model, some_requests(40, {}), options)) {
    const bool eos = completion.ids.back() == kEos;
    EXPECT_TRUE(eos || completion.ids.size() == 12);
    EXPECT_EQ(std::count(completion.ids.begin(), completion.ids.end(), kEos), eos);
    EXPECT_EQ(completion.answer, -1);
    ended += eos;
  }
  EXPECT_GT(ended, 0);
}

TEST(Generate, stops_feeding_rows_that_are_done) {
  const FakeLlm model;
  const auto completions = generate(model, some_requests(60, kSingle), reasoning_options());
  int64_t needed = 0, longest = 0;
  for (const Completion& completion : completions) {
    needed += static_cast<int64_t>(completion.ids.size()) - 1;
    longest = std::max(longest, static_cast<int64_t>(completion.ids.size()) - 1);
  }
  EXPECT_GE(model.decoded_rows_, needed);
  EXPECT_LT(model.decoded_rows_, needed + needed / 4);
  EXPECT_LT(model.decoded_rows_, longest * static_cast<int64_t>(completions.size()));
}

TEST(Generate, gives_the_same_completions_for_any_number_of_rows_together) {
  const FakeLlm model;
  for (const Answers& answers : {kSingle, kDigits, Answers{}}) {
    const auto requests = some_requests(25, answers);
    GenerationOptions options = reasoning_options();
    options.max_new_tokens = 40;
    const auto all = generate(model, requests, options);
    for (int64_t rows : {1, 3, 4, 7, 20}) {
      options.max_batch = rows;
      model.most_rows_ = 0;
      expect_same(all, generate(model, requests, options));
      EXPECT_LE(model.most_rows_, std::max<int64_t>(rows, 3));
    }
  }
}

TEST(Generate, lets_prompts_enter_while_others_run) {
  const FakeLlm model;
  const auto requests = some_requests(60, kSingle);
  GenerationOptions options = reasoning_options();
  options.completions_per_prompt = 1;
  options.max_batch = 10;
  const auto completions = generate(model, requests, options);
  int64_t in_groups = 0, needed = 0;
  for (size_t i = 0; i < completions.size(); i += 10) {
    size_t longest = 0;
    for (size_t j = i; j < i + 10; ++j) {
      longest = std::max(longest, completions[j].ids.size());
      needed += static_cast<int64_t>(completions[j].ids.size()) - 1;
    }
    in_groups += static_cast<int64_t>(longest) - 1;
  }
  EXPECT_LT(model.decoded_steps_, in_groups * 3 / 4);
  EXPECT_GE(model.decoded_steps_, needed / 10);
  EXPECT_EQ(model.decoded_rows_, needed);
}

TEST(Generate, ends_at_any_end_token_or_when_told_to) {
  const FakeLlm model;
  GenerationOptions options = reasoning_options();
  options.max_new_tokens = 30;
  options.eos_ids = {0, 5, 9};
  options.is_complete = [](std::span<const int64_t> ids) { return ids.back() == 13; };
  std::set<int64_t> last;
  for (const Completion& completion : generate(model, some_requests(60, {}), options)) {
    const auto is_end = [](int64_t id) { return id == 0 || id == 5 || id == 9 || id == 13; };
    EXPECT_EQ(std::count_if(completion.ids.begin(), completion.ids.end(), is_end),
              is_end(completion.ids.back()));
    last.insert(completion.ids.back());
  }
  for (int64_t id : {0, 5, 9, 13}) EXPECT_TRUE(last.contains(id));
}

TEST(Generate, has_no_end_token_before_the_least_length) {
  const FakeLlm model;
  GenerationOptions options = reasoning_options();
  options.max_new_tokens = 30;
  options.min_new_tokens = 12;
  options.eos_ids = {0, 5, 9};
  size_t shortest = 30;
  const auto requests = some_requests(60, {});
  const auto completions = generate(model, requests, options);
  for (size_t i = 0; i < completions.size(); ++i) {
    shortest = std::min(shortest, completions[i].ids.size());
    expect_consistent(model, requests[i / 3], options, completions[i]);
  }
  EXPECT_EQ(shortest, 13u);  // twelve others, then one of three in 24 tokens
}

TEST(Generate, keeps_rows_within_two_gigabytes) {
  LlmConfig config;
  config.num_hidden_layers = 28;
  config.num_key_value_heads = 2;
  config.head_dim = 128;
  const int64_t bytes = config.key_value_bytes();
  EXPECT_EQ(bytes, 57344);  // a token
  EXPECT_EQ(default_max_batch(bytes, {256, 0, 1}), 146);
  EXPECT_EQ(default_max_batch(bytes, {256, 2048, 8}), 73);  // a prompt for eight rows
  EXPECT_EQ(default_max_batch(bytes, {256, 2048, 1}), 16);
  EXPECT_EQ(default_max_batch(bytes, {1, 0, 1}), 1024);
  EXPECT_EQ(default_max_batch(bytes, {int64_t{1} << 20, 0, 1}), 1);
}

TEST(Generate, reports_tokens_and_progress) {
  const FakeLlm model;
  GenerationOptions options = reasoning_options();
  for (const Answers& answers : {kSingle, kDigits}) {
    std::vector<std::vector<int64_t>> streamed(12);
    int64_t last = 0;
    options.on_token = [&](int64_t row, int64_t id) {
      streamed[static_cast<size_t>(row)].push_back(id);
    };
    options.on_progress = [&](int64_t done) {
      EXPECT_GE(done, last);
      last = done;
    };
    const auto completions = generate(model, some_requests(4, answers), options);
    for (size_t i = 0; i < streamed.size(); ++i) EXPECT_EQ(streamed[i], completions[i].ids);
    EXPECT_EQ(last, 12);
  }
}

TEST(Generate, refuses_what_cannot_be_run) {
  FakeLlm model;
  const GenerationOptions options = reasoning_options();
  const auto run = [&](const GenerationRequest& request, const GenerationOptions& with) {
    generate(model, std::vector{request}, with);
  };
  EXPECT_THROW(run({{}, kSingle}, options), Error);
  EXPECT_THROW(run({{99}, kSingle}, options), Error);
  EXPECT_THROW(run({{1}, {{1}, {1, 2}}}, options), Error);
  EXPECT_THROW(run({std::vector<int64_t>(500, 1), kSingle}, options), Error);
  GenerationOptions bad = options;
  bad.completions_per_prompt = 0;
  EXPECT_THROW(run({{1}, kSingle}, bad), Error);
  bad = options;
  bad.format.close = {500};
  EXPECT_THROW(run({{1}, kSingle}, bad), Error);
  bad = options;
  bad.eos_ids = {24};
  EXPECT_THROW(run({{1}, kSingle}, bad), Error);
  bad = options;
  bad.max_batch = -1;
  EXPECT_THROW(run({{1}, kSingle}, bad), Error);
  bad = options;
  bad.sampling.temperature = -1;
  EXPECT_THROW(run({{1}, kSingle}, bad), Error);
}

TEST(Generate, stops_at_numbers_that_are_not_finite) {
  FakeLlm model;
  model.parameters()["scale"].fill_(std::numeric_limits<float>::quiet_NaN());
  try {
    generate(model, some_requests(1, kSingle), reasoning_options());
    FAIL() << "expected an error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kNumbers);
  }
}

}  // namespace
}  // namespace etrlrec
