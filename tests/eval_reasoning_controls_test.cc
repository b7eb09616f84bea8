// What a truncated or flipped reasoning leaves of an answer: the same numbers as whole texts, one
// by one.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <memory>
#include <set>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "eval/protocol.h"
#include "eval/reasoning_change.h"
#include "eval/reasoning_controls.h"
#include "temporal/claim_flip.h"
#include "temporal/predicates.h"
#include "temporal/row_view.h"
#include "temporal_fixture.h"
#include "text/bpe_train.h"
#include "text/tokenizer_folder.h"
#include "text_model.h"

namespace etrlrec {
namespace {

// Every true claim of one predicate argument each, as the compact style writes it.
std::vector<std::string> true_claims(const ClaimContext& context) {
  std::set<std::string> texts;
  Rng rng(1, "claims");
  for (const Predicate& predicate : predicate_table()) {
    if (predicate.demand != Demand::kNothing || predicate.arity() == 0) continue;
    if (predicate.name == "rank") continue;  // no recommender has been asked
    for (int64_t place = 0; place < 64; ++place) {
      Statement statement{{std::string(predicate.name)}, false};
      for (size_t i = 0; i < predicate.arity(); ++i) {
        const int64_t count = argument_domain(predicate.kinds[i], context);
        const int64_t at = i == 0 ? place % count : (place / 7 + static_cast<int64_t>(i)) % count;
        statement.claim.arguments.push_back(argument_word(
            predicate.kinds[i], argument_value(predicate.kinds[i], at, context), context));
      }
      const std::string text = find_style("compact").reasoning({&statement, 1}, context, rng);
      if (verdict_of(text, context) == Verdict::kTrue) texts.insert(text);
    }
  }
  return {texts.begin(), texts.end()};
}

// A model with random weights, whose tokens are letters and whole true claims.
class ReasoningControls : public testing::Test {
 protected:
  ReasoningControls() {
    for (size_t drop = 0; drop < 4; ++drop) {
      Request& request = requests_.emplace_back(small_request());
      request.user = static_cast<int32_t>(drop);
      request.history.erase(request.history.begin(),
                            request.history.begin() + static_cast<int64_t>(drop));
      request.times.erase(request.times.begin(),
                          request.times.begin() + static_cast<int64_t>(drop));
    }
    const std::filesystem::path folder =
        std::filesystem::path(testing::TempDir()) / fmt::format("controls_{}", ::getpid());
    const RowView view(catalogue_, statistics_.get(), requests_[0], {});
    train_bpe(catalogue_.titles, {.vocab_size = 280, .phrases = true_claims(view.context())},
              folder);
    tokenizer_ = load_tokenizer(folder);
    std::filesystem::remove_all(folder);
    model_ = small_text_model(*tokenizer_, 2);
    options_.max_reasoning_tokens = 9;
    options_.statistics = statistics_;
  }

  Predictions ask(const std::string& name, double share = 0.5) {
    options_.name = name;
    options_.reasoning_share = share;
    return ask_language_model(*model_, encoder(), requests_, options_);
  }
  PromptEncoder encoder() const { return {*tokenizer_, catalogue_}; }
  // Of the candidates below prompt and reasoning, from a pass for each.
  std::vector<double> slow_probabilities(const Request& request,
                                         const std::vector<int64_t>& reasoning) const {
    const at::NoGradGuard no_grad;
    const GenerationRequest asked = generation_request(encoder(), request, options_.prompt);
    const GenerationOptions form =
        generation_options(*tokenizer_, options_, static_cast<int32_t>(request.candidates.size()));
    std::vector<int64_t> text = asked.prompt;
    text.insert(text.end(), reasoning.begin(), reasoning.end());
    text.insert(text.end(), form.format.close.begin(), form.format.close.end());
    std::vector<double> scores;
    double sum = 0;
    for (const std::vector<int64_t>& answer : asked.answers) {
      std::vector<int64_t> whole = text;
      whole.insert(whole.end(), answer.begin(), answer.end());
      TokenForest forest;
      forest.add(-1, whole);
      const at::Tensor logprobs =
          at::mm(model_->hidden_states(forest), model_->head_weight().t()).log_softmax(-1);
      double log_p = 0;
      for (size_t j = 0; j < answer.size(); ++j)
        log_p += logprobs[static_cast<int64_t>(text.size() + j) - 1][answer[j]].item<double>();
      scores.push_back(std::exp(log_p));
      sum += scores.back();
    }
    for (double& score : scores) score /= sum;
    return scores;
  }
  static std::vector<double> scores_of(const Prediction& row) {
    return {row.scores.begin(), row.scores.end()};
  }

  const Catalogue catalogue_ = small_catalogue();
  const std::shared_ptr<const TemporalStatistics> statistics_ =
      std::make_shared<const TemporalStatistics>(small_statistics());
  std::vector<Request> requests_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<LanguageModel> model_;
  ProtocolOptions options_;
};

TEST_F(ReasoningControls, a_share_of_the_reasoning_lies_between_none_and_all) {
  const Predictions all = ask("likelihood"), none = ask("no-reasoning");
  const Predictions whole = ask("truncated-reasoning", 1), nothing = ask("truncated-reasoning", 0);
  EXPECT_EQ(whole.protocol, "truncated-reasoning(1)");
  EXPECT_EQ(nothing.protocol, "truncated-reasoning(0)");
  EXPECT_EQ(ask("truncated-reasoning", 0.25).protocol, "truncated-reasoning(0.25)");
  GenerationOptions generation = generation_options(*tokenizer_, options_, 4);
  double largest = 0;
  for (size_t r = 0; r < requests_.size(); ++r) {
    const auto own = scores_of(all.rows[r]);
    const double moved = total_variation(own, scores_of(none.rows[r]));
    largest = std::max(largest, moved);
    EXPECT_NEAR(total_variation(own, scores_of(whole.rows[r])), 0, 1e-5);
    EXPECT_NEAR(whole.rows[r].change->total_variation, 0, 1e-5);
    EXPECT_NEAR(nothing.rows[r].change->total_variation, moved, 1e-5);
    EXPECT_EQ(whole.rows[r].reasoning, all.rows[r].reasoning);
    EXPECT_EQ(nothing.rows[r].reasoning, "");
  }
  EXPECT_GT(largest, 0.01) << "the reasoning changes nothing: the test shows nothing";
  // Of nine tokens the first two: a third of them, rounded down, is three.
  const std::vector<GenerationRequest> asked{
      generation_request(encoder(), requests_[1], options_.prompt)};
  const Completion own = generate(*model_, asked, generation).at(0);
  for (const double share : {0.25, 0.34, 0.9}) {
    const auto kept = static_cast<int64_t>(share * static_cast<double>(own.reasoning_tokens));
    ASSERT_GT(kept, 0);
    ASSERT_LT(kept, own.reasoning_tokens);
    const Prediction found = ask("truncated-reasoning", share).rows[1];
    const auto expected =
        slow_probabilities(requests_[1], {own.ids.begin(), own.ids.begin() + kept});
    for (size_t k = 0; k < expected.size(); ++k)
      EXPECT_NEAR(found.scores[k], expected[k], 1e-4) << share;
    EXPECT_NEAR(found.change->total_variation, total_variation(scores_of(all.rows[1]), expected),
                1e-4);
  }
}

TEST_F(ReasoningControls, flipped_claims_are_false_and_nothing_else_moves) {
  const Predictions all = ask("likelihood"), found = ask("flipped-claims");
  EXPECT_EQ(found.protocol, "flipped-claims");
  int32_t flipped = 0;
  for (size_t r = 0; r < requests_.size(); ++r) {
    const RowView view(catalogue_, statistics_.get(), requests_[r], options_.prompt);
    Rng rng(options_.seed, "flipped claims", r);
    const std::string text = all.rows[r].reasoning;
    const FlippedReasoning expected = flip_claims(text, view.style(), view.context(), rng);
    const Prediction& row = found.rows[r];
    EXPECT_EQ(row.reasoning, expected.text);
    EXPECT_EQ(row.change->claims, expected.claims);
    EXPECT_EQ(row.change->flipped, expected.flipped);
    int32_t untrue = 0;
    for (const JudgedClaim& claim : judge_claims(view.claims(row.reasoning), view.context(), {}))
      untrue += claim.verdict == Verdict::kFalse;
    EXPECT_GE(untrue, expected.flipped);
    const auto before = slow_probabilities(requests_[r], tokenizer_->encode(text)),
               after = slow_probabilities(requests_[r], tokenizer_->encode(expected.text));
    for (size_t k = 0; k < after.size(); ++k) EXPECT_NEAR(row.scores[k], after[k], 1e-4);
    EXPECT_NEAR(row.change->total_variation, total_variation(before, after), 1e-4);
    if (expected.flipped == 0) {
      EXPECT_EQ(row.change->total_variation, 0);
    } else {
      EXPECT_GT(row.change->total_variation, 1e-4);
    }
    flipped += expected.flipped;
  }
  EXPECT_GT(flipped, 2) << "the model wrote too few true claims: the test shows nothing";
}

TEST_F(ReasoningControls, refuse_what_they_cannot_change) {
  EXPECT_THROW(ask("truncated-reasoning", 1.5), Error);
  EXPECT_THROW(ask("truncated-reasoning", -0.1), Error);
  options_.statistics = nullptr;
  for (const char* name : {"flipped-claims", "flipped-facts"})
    EXPECT_THROW(ask(name), Error) << name;
  options_.statistics = statistics_;
  options_.prompt.reasoning = false;
  for (const char* name : {"truncated-reasoning", "flipped-claims", "flipped-facts"})
    EXPECT_THROW(ask(name), Error) << name;
}

TEST(TotalVariation, is_half_the_absolute_difference) {
  using Values = std::vector<double>;
  EXPECT_DOUBLE_EQ(total_variation(Values{1, 0}, Values{0, 1}), 1);
  EXPECT_DOUBLE_EQ(total_variation(Values{0.5, 0.25, 0.25}, Values{0.25, 0.5, 0.25}), 0.25);
  EXPECT_EQ(total_variation(Values{0.3, 0.7}, Values{0.3, 0.7}), 0);
  EXPECT_THROW(total_variation(Values{1}, Values{0.5, 0.5}), Error);
}

Predictions changed_rows() {
  Predictions predictions;
  predictions.num_candidates = 2;
  for (int32_t r = 0; r < 4; ++r) {
    Prediction& row = predictions.rows.emplace_back();
    row.row = r;
    row.user = r / 2;
    row.rank = 1;
    row.change = {.claims = 3, .flipped = r % 2, .total_variation = r % 2 == 0 ? 0 : 0.25F};
    if (r > 0) {
      row.change->decision = static_cast<DecisionChange>(r);
      row.change->answer_changed = r == 2;
      row.change->own_hit = r == 3;
    }
  }
  return predictions;
}

TEST(ReasoningChange, is_summed_over_rows_and_over_those_with_a_flip) {
  const auto changes = summarize_changes(changed_rows());
  ASSERT_TRUE(changes.has_value());
  EXPECT_EQ(changes->rows, 4);
  EXPECT_EQ(changes->claims, 12);
  EXPECT_EQ(changes->flipped, 2);
  EXPECT_EQ(changes->flipped_rows, 2);
  EXPECT_DOUBLE_EQ(changes->total_variation.mean, 0.125);
  EXPECT_DOUBLE_EQ(changes->total_variation.low, 0.125) << "both users have the same mean";
  EXPECT_DOUBLE_EQ(changes->flipped_total_variation, 0.25);
  EXPECT_EQ(to_json(*changes).at("flipped_total_variation").get<double>(), 0.25);
  EXPECT_NE(reasoning_changes_text(*changes).find("2 of 12 true claims flipped, in 2 rows"),
            std::string::npos);
  Predictions without = changed_rows();
  for (Prediction& row : without.rows) row.change.reset();
  EXPECT_FALSE(summarize_changes(without).has_value());
  for (Prediction& row : without.rows) row.change = {.total_variation = 0.5F};
  EXPECT_FALSE(to_json(*summarize_changes(without)).contains("claims"));
}

TEST(ReasoningChange, is_kept_in_the_file_and_refused_where_it_cannot_be) {
  const fs::path path =
      fs::temp_directory_path() / fmt::format("etrlrec_changes_{}.jsonl", ::getpid());
  save_predictions(changed_rows(), path);
  const Predictions loaded = load_predictions(path);
  for (size_t r = 0; r < 4; ++r) {
    EXPECT_EQ(loaded.rows[r].change->claims, 3);
    EXPECT_EQ(loaded.rows[r].change->flipped, static_cast<int32_t>(r % 2));
    EXPECT_EQ(loaded.rows[r].change->total_variation, r % 2 == 0 ? 0 : 0.25F);
    EXPECT_EQ(loaded.rows[r].change->decision, static_cast<DecisionChange>(r));
    EXPECT_EQ(loaded.rows[r].change->answer_changed, r == 2);
    EXPECT_EQ(loaded.rows[r].change->own_hit, r == 3);
  }
  for (const ReasoningChange& bad :
       {ReasoningChange{1, 2, 0}, ReasoningChange{1, -1, 0}, ReasoningChange{1, 1, 1.5F},
        ReasoningChange{1, 1, -0.5F}, ReasoningChange{1, 1, std::nanf("")}}) {
    Predictions predictions = changed_rows();
    predictions.rows[2].change = bad;
    EXPECT_THROW(save_predictions(predictions, path), Error);
  }
  std::string text = read_file(path);
  const size_t word = text.find("kept");
  ASSERT_NE(word, std::string::npos);
  write_file_atomic(path, text.replace(word, 4, "lost"));
  EXPECT_THROW(load_predictions(path), Error);
  fs::remove(path);
}

}  // namespace
}  // namespace etrlrec
