// Candidates ranked by the likelihood of their titles, or below a reasoning that is not their own:
// the same numbers as whole texts, one by one.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <memory>
#include <vector>

#include "base/check.h"
#include "engine/engine.h"
#include "eval/protocol.h"
#include "models/decoder.h"
#include "temporal/prompts.h"
#include "temporal_fixture.h"
#include "text/bpe_train.h"
#include "text/tokenizer_folder.h"

namespace etrlrec {
namespace {

// log p of everything behind the prompt in a fresh pass over prompt and title.
double slow_score(const LanguageModel& model, std::vector<int64_t> text,
                  const std::vector<int64_t>& title) {
  const at::NoGradGuard no_grad;
  const auto begin = static_cast<int64_t>(text.size());
  text.insert(text.end(), title.begin(), title.end());
  TokenForest forest;
  forest.add(-1, text);
  const at::Tensor logprobs =
      at::mm(model.hidden_states(forest), model.head_weight().t()).log_softmax(-1);
  double sum = 0;
  for (size_t j = 0; j < title.size(); ++j)
    sum += logprobs[begin + static_cast<int64_t>(j) - 1][title[j]].item<double>();
  return sum;
}

struct SmallWorld {
  Catalogue catalogue = small_catalogue();
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<LanguageModel> model;
};

SmallWorld small_world() {
  SmallWorld world;
  const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "titles";
  train_bpe(world.catalogue.titles, {.vocab_size = 300}, folder);
  world.tokenizer = load_tokenizer(folder);
  LlmConfig config;
  config.vocab_size = 300;
  config.hidden_size = 32;
  config.intermediate_size = 48;
  config.num_hidden_layers = 2;
  config.initializer_range = 0.3;
  world.model = new_decoder(config, 1);
  return world;
}

TEST(TitleProtocols, rank_by_the_likelihood_of_whole_titles) {
  const auto [catalogue, tokenizer, model] = small_world();
  std::vector<Request> requests{small_request(), small_request()};
  requests[1].candidates = {6, 0, 0, 5};  // a title that begins another one, and one twice
  requests[1].target_slot = 1;
  for (const char* name : {"title-sum", "title-mean"}) {
    ProtocolOptions options;
    options.name = name;
    const Predictions found =
        ask_language_model(*model, {*tokenizer, catalogue}, requests, options);
    EXPECT_EQ(found.protocol, name);
    for (size_t r = 0; r < requests.size(); ++r) {
      PromptOptions direct = options.prompt;
      direct.reasoning = false;
      const auto prompt = tokenizer->encode(student_prompt(catalogue, requests[r], direct));
      std::vector<double> scores;
      for (size_t k = 0; k < requests[r].candidates.size(); ++k) {
        const std::string& text = catalogue.titles[static_cast<size_t>(requests[r].candidates[k])];
        auto title = tokenizer->encode(" " + text);
        for (int64_t id : tokenizer->encode("</answer>")) title.push_back(id);
        scores.push_back(slow_score(*model, prompt, title) /
                         (options.name == "title-mean" ? static_cast<double>(title.size()) : 1));
        EXPECT_NEAR(found.rows[r].scores[k], scores[k], 1e-3) << name << r << k;
      }
      const auto best = std::max_element(scores.begin(), scores.end()) - scores.begin();
      EXPECT_EQ(found.rows[r].answer, best + 1);
      EXPECT_TRUE(found.rows[r].valid);
    }
    const std::vector<float>& twice = found.rows[1].scores;
    EXPECT_EQ(twice[1], twice[2]);
    EXPECT_EQ(found.rows[1].rank - static_cast<int64_t>(found.rows[1].rank), 0.5);  // half the tie
  }
  ProtocolOptions unknown;
  unknown.name = "title-max";
  EXPECT_THROW(ask_language_model(*model, {*tokenizer, catalogue}, requests, unknown), Error);
}

TEST(Protocols, say_what_they_ask_of_a_model) {
  std::vector<std::string> by_title, sampled, in_rounds, twice;
  for (const std::string& name : protocol_names()) {
    const ProtocolWork work = protocol_work(name);
    if (work.reads_titles) by_title.push_back(name);
    if (work.samples) sampled.push_back(name);
    if (work.has_rounds) in_rounds.push_back(name);
    if (work.asks_twice) twice.push_back(name);
  }
  EXPECT_EQ(by_title, (std::vector<std::string>{"title-sum", "title-mean", "verbalizer"}));
  EXPECT_EQ(sampled, std::vector<std::string>{"likelihood"});
  EXPECT_EQ(in_rounds, std::vector<std::string>{"elimination"});
  EXPECT_EQ(twice, (std::vector<std::string>{"swapped-reasoning", "truncated-reasoning",
                                             "flipped-claims", "flipped-facts"}));
  EXPECT_THROW(protocol_work("title-max"), Error);
}

// Probabilities of the answers behind `text`, from a pass for each.
std::vector<double> slow_probabilities(const LanguageModel& model, const std::vector<int64_t>& text,
                                       const Answers& answers) {
  std::vector<double> scores;
  double sum = 0;
  for (const std::vector<int64_t>& answer : answers) {
    scores.push_back(std::exp(slow_score(model, text, answer)));
    sum += scores.back();
  }
  for (double& score : scores) score /= sum;
  return scores;
}

TEST(ForeignReasoning, answers_below_the_reasoning_of_another_user_or_none) {
  const auto [catalogue, tokenizer, model] = small_world();
  std::vector<Request> requests{small_request(), small_request(), small_request()};
  requests[0].user = requests[1].user = 1;
  requests[2].user = 2;
  requests[1].history.pop_back();
  requests[1].times.pop_back();
  requests[2].history.erase(requests[2].history.begin());
  requests[2].times.erase(requests[2].times.begin());
  const PromptEncoder encoder{*tokenizer, catalogue};
  ProtocolOptions options;
  options.max_reasoning_tokens = 6;
  const GenerationOptions generation =
      generation_options(*tokenizer, options, static_cast<int32_t>(requests[0].candidates.size()));
  std::vector<GenerationRequest> asked;
  for (const Request& request : requests)
    asked.push_back(generation_request(encoder, request, options.prompt));
  const std::vector<Completion> own = generate(*model, asked, generation);
  const size_t others[] = {2, 2, 0};  // the next one of another user
  for (const char* name : {"swapped-reasoning", "no-reasoning"}) {
    options.name = name;
    const Predictions found = ask_language_model(*model, encoder, requests, options);
    for (size_t r = 0; r < requests.size(); ++r) {
      std::vector<int64_t> text = asked[r].prompt;
      const Completion& other = own[others[r]];
      if (options.name == "swapped-reasoning")
        text.insert(text.end(), other.ids.begin(), other.ids.begin() + other.reasoning_tokens);
      text.insert(text.end(), generation.format.close.begin(), generation.format.close.end());
      const auto expected = slow_probabilities(*model, text, asked[r].answers);
      for (size_t k = 0; k < expected.size(); ++k)
        EXPECT_NEAR(found.rows[r].scores[k], expected[k], 1e-4) << name << r << k;
    }
  }
  options.name = "swapped-reasoning";
  EXPECT_THROW(ask_language_model(*model, encoder, std::span(requests).first(2), options), Error);
  options.prompt.reasoning = false;
  EXPECT_THROW(ask_language_model(*model, encoder, requests, options), Error);
}

// A pass has 1,024 rows at most; the reasoning of the last row comes from the first one.
TEST(ForeignReasoning, takes_the_reasoning_of_another_pass) {
  const auto [catalogue, tokenizer, model] = small_world();
  std::vector<Request> requests(1025, small_request());
  for (size_t r = 0; r < requests.size(); ++r) requests[r].user = r + 1 == requests.size() ? 2 : 1;
  ProtocolOptions options;
  options.name = "swapped-reasoning";
  options.max_reasoning_tokens = 1;
  const Predictions found = ask_language_model(*model, {*tokenizer, catalogue}, requests, options);
  ASSERT_EQ(found.rows.size(), requests.size());
  // All requests are alike, so every reasoning is, too.
  for (size_t k = 0; k < found.rows[0].scores.size(); ++k)
    EXPECT_NEAR(found.rows[1024].scores[k], found.rows[0].scores[k], 1e-5);
}

TEST(Likelihood, a_temperature_flattens_the_probabilities) {
  const auto [catalogue, tokenizer, model] = small_world();
  const std::vector<Request> requests{small_request()};
  ProtocolOptions options;
  options.max_reasoning_tokens = 2;
  const auto ask = [&, &t = tokenizer, &c = catalogue, &m = model] {
    return ask_language_model(*m, {*t, c}, requests, options).rows[0];
  };
  const Prediction before = ask();
  options.temperature = 2;
  const Prediction after = ask();
  std::vector<double> expected(before.scores.begin(), before.scores.end());
  double sum = 0;
  for (double& p : expected) sum += p = std::sqrt(p);
  for (size_t k = 0; k < expected.size(); ++k)
    EXPECT_NEAR(after.scores[k], expected[k] / sum, 1e-5);
  EXPECT_EQ(after.rank, before.rank);
}

TEST(Protocols, ask_a_large_model_about_fewer_rows_at_once) {
  EXPECT_EQ(rows_per_pass(0), 1024);
  EXPECT_EQ(rows_per_pass(850'000), 1024);
  EXPECT_EQ(rows_per_pass(40'000'000), 102);
  EXPECT_EQ(rows_per_pass(7'000'000'000), 32);
}

}  // namespace
}  // namespace etrlrec
