// The whole catalogue ranked by title: the same numbers as every title scored by itself, exactly
// and by beams, with items of equal titles and seen ones.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <numeric>

#include "base/check.h"
#include "base/rng.h"
#include "data/histories.h"
#include "eval/full_ranking.h"
#include "eval/mix.h"
#include "eval/title_beam.h"
#include "models/decoder.h"
#include "temporal/prompts.h"
#include "temporal_fixture.h"
#include "text/bpe_train.h"
#include "text/tokenizer_folder.h"

namespace etrlrec {
namespace {

// Items 0-6, item 7 with the title of 2 in another spelling, and two more.
Catalogue titled_catalogue() {
  std::vector<HandItem> items;
  for (const char* title :
       {"Hollow River", "Paper Crown", "Silent Bridge", "Iron Letter", "Lost Meadow", "Pale Mirror",
        "Hollow River II", "silent  bridge", "Paper Moon", "Silent Mirror"})
    items.push_back({title, {"genre:drama"}});
  return hand_catalogue({"genre"}, items);
}

class FullRanking : public ::testing::Test {
 protected:
  FullRanking() : catalogue_(titled_catalogue()) {
    const auto folder = std::filesystem::path(testing::TempDir()) / "full_ranking";
    train_bpe(catalogue_.titles, {.vocab_size = 290}, folder);
    tokenizer_ = load_tokenizer(folder);
    LlmConfig config;
    config.vocab_size = 290;
    config.hidden_size = 32;
    config.intermediate_size = 48;
    config.num_hidden_layers = 2;
    config.initializer_range = 0.15;
    model_ = new_decoder(config, 1);
    options_.prompt.answer = AnswerKind::kTitle;
    options_.prompt.reasoning = false;
    rows_.rows = {{0, 3}, {1, 4}, {2, 2}};
    rows_.tasks = {{{histories_[0], {times_, 3}, 5 * kDay}, 7},
                   {{histories_[1], {times_, 4}, 9 * kDay}, 4},
                   {{histories_[2], {times_, 2}, 2 * kDay}, 0}};
    for (size_t r = 0; r < rows_.tasks.size(); ++r) {
      Request& request = requests_.emplace_back();
      request.user = rows_.rows[r].user;
      const HistoryView& history = rows_.tasks[r].history;
      request.now = history.now;
      set_recent_history(history.items, history.times, options_.prompt.max_history, request);
    }
  }

  PromptEncoder encoder() const { return {*tokenizer_, catalogue_}; }
  AskCatalogue exact() const { return ask_titles(*model_, encoder(), requests_, options_); }

  // log p of a title in a pass of its own.
  double slow_score(const Request& request, int32_t item) const {
    const at::NoGradGuard no_grad;
    auto text = tokenizer_->encode(student_prompt(catalogue_, request, options_.prompt));
    const auto begin = std::ssize(text);
    const auto title = tokenizer_->encode(find_style("compact").title(catalogue_, item));
    text.insert(text.end(), title.begin(), title.end());
    TokenForest forest;
    forest.add(-1, text);
    const at::Tensor logprobs =
        at::mm(model_->hidden_states(forest), model_->head_weight().t()).log_softmax(-1);
    double sum = 0;
    for (size_t j = 0; j < title.size(); ++j)
      sum += logprobs[begin + static_cast<int64_t>(j) - 1][title[j]].item<double>();
    return sum;
  }
  // Of all items; item 7 is asked about as item 2.
  std::vector<float> slow_scores(const Request& request) const {
    std::vector<float> scores;
    for (int32_t item = 0; item < 10; ++item)
      scores.push_back(static_cast<float>(slow_score(request, item == 7 ? 2 : item)));
    return scores;
  }

  Catalogue catalogue_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<LanguageModel> model_;
  ProtocolOptions options_;
  std::vector<std::vector<int32_t>> histories_{{1, 2, 7}, {0, 1, 4, 4}, {5, 6}};
  const int64_t times_[4] = {0, kDay, 3 * kDay, 4 * kDay};
  FullRows rows_;
  std::vector<Request> requests_;
};

TEST_F(FullRanking, gives_the_ranks_of_every_title_scored_by_itself) {
  const Predictions scored = exact()(0, 3);
  for (const bool mask_seen : {false, true}) {
    rows_.mask_seen = mask_seen;
    const Predictions found = rank_catalogue(rows_, 10, exact());
    EXPECT_EQ(found.protocol, "likelihood");
    ASSERT_EQ(found.rows.size(), 3u);
    for (size_t r = 0; r < 3; ++r) {
      const std::vector<float> slow = slow_scores(requests_[r]);
      double sum = 0;  // of the distinct titles
      for (size_t item = 0; item < slow.size(); ++item)
        sum += item == 7 ? 0.0 : std::exp(static_cast<double>(slow[item]));
      for (size_t item = 0; item < slow.size(); ++item)
        EXPECT_NEAR(scored.rows[r].scores[item], slow[item] - std::log(sum), 1e-3);
      EXPECT_EQ(scored.rows[r].scores[2], scored.rows[r].scores[7]);
      // The twin's ties are not exact: items 2 and 7 get one score there, too.
      EXPECT_EQ(found.rows[r].rank, full_rank(slow, rows_.tasks[r], mask_seen)) << r;
      EXPECT_EQ(found.rows[r].answer, best_items(slow, rows_.tasks[r], mask_seen, 1)[0] + 1);
      EXPECT_EQ(found.rows[r].target_slot, rows_.tasks[r].target);
      EXPECT_EQ(found.rows[r].user, static_cast<int32_t>(r));
      EXPECT_TRUE(found.rows[r].scores.empty());
    }
  }
}

TEST(BestItems, are_those_of_a_sorted_list) {
  Rng rng(4, "best items");
  for (int turn = 0; turn < 300; ++turn) {
    std::vector<float> scores(1 + rng.below(40));
    for (float& score : scores) score = static_cast<float>(rng.below(6));  // many ties
    std::vector<int32_t> history(rng.below(12));
    for (int32_t& item : history) item = static_cast<int32_t>(rng.below(scores.size()));
    const std::vector<int64_t> times(history.size());
    const RankingTask task{{history, times}, static_cast<int32_t>(rng.below(scores.size()))};
    const auto count = static_cast<int64_t>(rng.below(45));
    for (const bool mask_seen : {false, true}) {
      std::vector<int32_t> open;
      for (int32_t item = 0; item < static_cast<int32_t>(scores.size()); ++item)
        if (!mask_seen || item == task.target ||
            std::count(history.begin(), history.end(), item) == 0)
          open.push_back(item);
      EXPECT_EQ(best_items(scores, task, mask_seen, count), best_items(scores, open, count));
    }
  }
}

TEST_F(FullRanking, equal_titles_are_a_tie_unless_one_is_seen) {
  const double all = rank_catalogue(rows_, 10, exact()).rows[0].rank;  // target 7, as 2
  EXPECT_EQ(all - std::floor(all), 0.5);
  rows_.mask_seen = true;  // 2 is in the history
  const double unseen = rank_catalogue(rows_, 10, exact()).rows[0].rank;
  EXPECT_EQ(unseen - std::floor(unseen), 0);
}

TEST_F(FullRanking, a_wide_beam_finds_the_exact_order) {
  const TitleBeam beam(*model_, encoder(), options_, 10);
  for (const bool mask_seen : {false, true}) {
    rows_.mask_seen = mask_seen;
    const Predictions scored = rank_catalogue(rows_, 10, exact());
    const Predictions found = rank_by_beam(rows_, beam, 10, requests_);
    for (size_t r = 0; r < 3; ++r) {
      EXPECT_EQ(found.rows[r].rank, scored.rows[r].rank) << r;
      EXPECT_EQ(found.rows[r].answer, scored.rows[r].answer) << r;
    }
    EXPECT_EQ(recall_of_beam(rows_, beam, exact(), requests_, 3), 1);
  }
  // One beam finds one title, and a target that it does not find is nowhere.
  const TitleBeam narrow(*model_, encoder(), options_, 1);
  for (const Prediction& row : rank_by_beam(rows_, narrow, 10, requests_).rows)
    EXPECT_TRUE(row.rank == 11 || row.rank <= 1.5) << row.rank;
  EXPECT_LT(recall_of_beam(rows_, narrow, exact(), requests_, 3), 0.3);
}

TEST_F(FullRanking, beams_go_on_behind_the_reasoning) {
  ProtocolOptions reasoning = options_;
  reasoning.prompt.reasoning = true;
  reasoning.max_reasoning_tokens = 4;
  const AskCatalogue ask = ask_titles(*model_, encoder(), requests_, reasoning);
  const Predictions scored = rank_catalogue(rows_, 10, ask);
  const TitleBeam beam(*model_, encoder(), reasoning, 10);
  const Predictions found = rank_by_beam(rows_, beam, 10, requests_);
  for (size_t r = 0; r < 3; ++r) {
    EXPECT_EQ(found.rows[r].reasoning, scored.rows[r].reasoning);
    EXPECT_EQ(found.rows[r].valid, scored.rows[r].valid);
    EXPECT_EQ(found.rows[r].rank, scored.rows[r].rank) << r;
  }
}

TEST_F(FullRanking, beams_refuse_models_that_answer_by_number) {
  options_.prompt.answer = AnswerKind::kNumber;
  EXPECT_THROW(TitleBeam(*model_, encoder(), options_, 4), Error);
}

TEST(FullMix, chooses_the_weight_of_mix_predictions) {
  const std::vector<int32_t> seen{2};
  const std::vector<int64_t> times{0};
  FullRows rows;
  rows.rows = {{0, 1}, {1, 1}};
  rows.tasks = {{{seen, times, 1}, 0}, {{seen, times, 1}, 1}};
  const auto asked = [](std::vector<std::vector<float>> scores) -> AskCatalogue {
    return [scores](int64_t begin, int64_t end) {
      Predictions out;
      out.protocol = "score";
      for (int64_t r = begin; r < end; ++r)
        out.rows.emplace_back().scores = scores[static_cast<size_t>(r)];
      return out;
    };
  };
  const std::vector<std::vector<float>> first{{-0.01f, -4.6f, -9}, {-0.6f, -0.8f, -9}};
  const std::vector<std::vector<float>> second{{0, 0.3f, -9}, {0, 3, -9}};
  const double weight = choose_full_mix_weight(rows, 3, asked(first), asked(second));
  Predictions a, b;
  a.protocol = b.protocol = "score";
  for (size_t r = 0; r < 2; ++r) {
    for (auto* p : {&a, &b}) {
      Prediction& row = p->rows.emplace_back();
      row.row = static_cast<int64_t>(r);
      row.target_slot = rows.tasks[r].target;
      row.scores = (p == &a ? first : second)[r];
    }
  }
  EXPECT_EQ(weight, choose_mix_weight(a, b));
  const Predictions mixed = rank_catalogue(rows, 3, ask_mix(asked(first), asked(second), weight));
  const Predictions slow = mix_predictions(a, b, weight);
  for (size_t r = 0; r < 2; ++r) EXPECT_EQ(mixed.rows[r].rank, slow.rows[r].rank);
}

TEST(FullProtocol, says_that_all_items_were_ranked) {
  EXPECT_EQ(full_protocol_name("likelihood", 1682, false), "likelihood[all1682]");
  EXPECT_EQ(full_protocol_name("score", 9, true), "score[all9,mask-seen]");
}

}  // namespace
}  // namespace etrlrec
