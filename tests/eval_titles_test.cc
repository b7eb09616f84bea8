// Candidates ranked by the likelihood of their titles: the same numbers as whole texts, one by one.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/check.h"
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

TEST(TitleProtocols, rank_by_the_likelihood_of_whole_titles) {
  const Catalogue catalogue = small_catalogue();
  const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "titles";
  train_bpe(catalogue.titles, {.vocab_size = 300}, folder);
  const auto tokenizer = load_tokenizer(folder);
  LlmConfig config;
  config.vocab_size = 300;
  config.hidden_size = 32;
  config.intermediate_size = 48;
  config.num_hidden_layers = 2;
  config.initializer_range = 0.3;
  const auto model = new_decoder(config, 1);
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

}  // namespace
}  // namespace etrlrec
