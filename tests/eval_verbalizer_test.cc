// The verbalizer of DELRec's released program: first tokens alone, and what they cannot tell apart
// (method.md B.7, and B.8 #13).
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "eval/protocol.h"
#include "eval/verbalizer.h"
#include "refusals.h"
#include "temporal/prompts.h"
#include "temporal_fixture.h"
#include "text/bpe_train.h"
#include "text/tokenizer_folder.h"
#include "text_model.h"

namespace etrlrec {
namespace {

TEST(Verbalizer, takes_the_year_from_the_end_of_a_title_alone) {
  for (const auto& [title, without] : {std::pair{"Heat (1995)", "Heat"},
                                       {"1984 (1984)", "1984"},
                                       {"Heat (1995) ", "Heat (1995) "},
                                       {"Heat (199)", "Heat (199)"},
                                       {"Heat (199x)", "Heat (199x)"},
                                       {"Heat 1995", "Heat 1995"},
                                       {"(1995)", "(1995)"},
                                       {" (1995)", " (1995)"},
                                       {"", ""}})
    EXPECT_EQ(title_without_year(title), without) << title;
}

// Words are tokens, and one title is a whole one.
class Verbalizing : public ::testing::Test {
 protected:
  Verbalizing() {
    catalogue_ = hand_catalogue({"genre"}, {{"Heat (1995)", {"genre:crime"}},
                                            {"Heat (1986)", {"genre:crime"}},
                                            {"Fargo (1996)", {"genre:crime"}},
                                            {"Alien", {"genre:horror"}},
                                            {"Aliens", {"genre:horror"}},
                                            {"Fargo (1996)", {"genre:crime"}}});
    const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "verbalizer";
    std::vector<std::string> texts;
    for (const std::string& title : catalogue_.titles) texts.push_back(" " + title);
    train_bpe(texts, {.vocab_size = 300, .phrases = {" Heat [1995];"}}, folder);
    tokenizer_ = load_tokenizer(folder);
  }
  int64_t first(const std::string& text) const { return tokenizer_->encode(text).front(); }

  Catalogue catalogue_;
  std::unique_ptr<Tokenizer> tokenizer_;
};

TEST_F(Verbalizing, label_words_are_the_title_and_what_it_is_without_its_year) {
  const PromptStyle& compact = find_style("compact");
  const auto tokens = [&](int32_t item) {
    return label_tokens(*tokenizer_, catalogue_, compact, item);
  };
  EXPECT_EQ(tokens(0), (std::vector{first(" Heat [1995];"), first(" Heat;")}));
  EXPECT_NE(tokens(0)[0], tokens(0)[1]);  // a whole title is a token of its own
  EXPECT_EQ(tokens(1), (std::vector{first(" Heat [1986];"), first(" Heat;")}));
  EXPECT_EQ(tokens(3), std::vector{first(" Alien;")});
  EXPECT_EQ(label_tokens(*tokenizer_, catalogue_, find_style("natural"), 1),
            (std::vector{first(" Heat (1986);"), first(" Heat;")}));
  // A title that is cut before its year has one word.
  catalogue_.titles[1] = std::string(120, 'a') + " (1986)";
  EXPECT_EQ(tokens(1).size(), 1u);
}

TEST_F(Verbalizing, collisions_are_counted_over_titles_and_rows) {
  Request request;
  request.candidates = {0, 1, 2, 3, 4};
  std::vector<Request> requests;
  for (int32_t target = 0; target < 5; ++target) {
    requests.push_back(request);
    requests.back().target_slot = target;
  }
  request.candidates = {2, 5, 0};  // the same title twice
  request.target_slot = 0;
  requests.push_back(request);
  const VerbalizerCollisions found =
      count_collisions(*tokenizer_, catalogue_, find_style("compact"), requests);
  EXPECT_EQ(found.titles, 5);
  EXPECT_EQ(found.collided_titles, 2);  // Alien and Aliens; one Heat is a token of its own
  EXPECT_EQ(found.rows, 6);
  EXPECT_EQ(found.collided_rows, 2);
  EXPECT_EQ(collisions_text(found),
            "verbalizer: 2 of 5 titles have the first tokens of another one, and so has the target "
            "of 2 of 6 rows among its candidates");
}

TEST_F(Verbalizing, scores_are_means_of_first_tokens_and_collisions_are_ties) {
  const auto model = small_text_model(*tokenizer_, 1);
  ProtocolOptions options;
  options.name = "verbalizer";
  options.prompt.answer = AnswerKind::kTitle;
  Request request;
  request.history = {2, 1};
  request.times = {kJanuary, kJanuary + kHour};
  request.now = kJanuary + kDay;
  request.candidates = {0, 1, 3, 4};
  request.target_slot = 2;
  const Predictions found =
      ask_language_model(*model, {*tokenizer_, catalogue_}, {&request, 1}, options);
  EXPECT_EQ(found.protocol, "verbalizer");
  PromptOptions direct = options.prompt;
  direct.reasoning = false;
  TokenForest forest;
  const auto prompt = tokenizer_->encode(student_prompt(catalogue_, request, direct));
  forest.add(-1, prompt);
  const at::NoGradGuard no_grad;
  const at::Tensor logprobs =
      at::mm(model->hidden_states(forest), model->head_weight().t()).log_softmax(-1)[-1];
  const std::vector<float>& scores = found.rows[0].scores;
  for (size_t k = 0; k < request.candidates.size(); ++k) {
    const auto tokens =
        label_tokens(*tokenizer_, catalogue_, find_style("compact"), request.candidates[k]);
    double mean = 0;
    for (const int64_t token : tokens)
      mean += logprobs[token].item<double>() / static_cast<double>(tokens.size());
    EXPECT_NEAR(scores[k], mean, 1e-4) << k;
  }
  EXPECT_EQ(scores[2], scores[3]);
  EXPECT_EQ(found.rows[0].rank - static_cast<int64_t>(found.rows[0].rank), 0.5);  // half the tie
  options.prompt.answer = AnswerKind::kNumber;
  refuses(
      [&] {
        ask_language_model(*model, {*tokenizer_, catalogue_}, {&request, 1}, options);
      },
      ExitCode::kUsage, "answers by title");
}

}  // namespace
}  // namespace etrlrec
