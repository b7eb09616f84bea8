// A model whose script says what it writes below which facts: what flipped facts change of its
// decision and answer, and what counts as unchanged.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <stdexcept>

#include "base/io.h"
#include "base/json.h"
#include "eval/protocol.h"
#include "eval/reasoning_change.h"
#include "scripted_llm.h"
#include "temporal/claim_flip.h"
#include "temporal/row_view.h"
#include "temporal_fixture.h"
#include "text/bpe_train.h"
#include "text/tokenizer_folder.h"

namespace etrlrec {
namespace {

constexpr double kLogit = 12;  // far above the other tokens, which have 0

using TokenIds = std::vector<int64_t>;

// A whole reasoning and the candidate (from 0) that it leads to.
struct Line {
  std::string reasoning;
  size_t answer = 0;
};

struct FlippedFactsCase {
  const char* style;
  AnswerKind answer;
};

class FlippedFacts : public testing::TestWithParam<FlippedFactsCase> {
 protected:
  FlippedFacts() {
    const fs::path folder = fs::path(testing::TempDir()) / fmt::format("facts_{}", ::getpid());
    train_bpe(catalogue_.titles, {.vocab_size = 300}, folder);
    tokenizer_ = load_tokenizer(folder);
    fs::remove_all(folder);
    options_.name = "flipped-facts";
    options_.prompt.style = GetParam().style;
    options_.prompt.answer = GetParam().answer;
    options_.max_reasoning_tokens = 400;
    options_.statistics = statistics_;
    facts_ = says({"long( drama)", "count( drama 2)"});
  }

  // In the style, each statement with a blank in front; "order" alone is a decision's word.
  std::string says(const std::vector<std::string>& statements) const {
    std::vector<Statement> all;
    for (const std::string& text : statements) {
      const bool is_decision = text.find('(') == std::string::npos;
      all.push_back({is_decision ? Claim{text} : parse_claims(text).at(0), is_decision});
    }
    const RowView view(catalogue_, statistics_.get(), small_request(), options_.prompt);
    Rng rng(1, "wordings");
    return view.style().reasoning(all, view.context(), rng);
  }
  // Dramas in two places tell the rows' prompts apart; what is claimed below is true of all.
  static Request request(size_t row) {
    constexpr int32_t kDramas[] = {0, 2, 6};
    Request request = small_request();
    request.user = static_cast<int32_t>(row);
    request.history.front() = kDramas[row % 3];
    request.history.back() = kDramas[row / 3];
    return request;
  }
  // Both facts, as flip_claims draws it for the row.
  std::string flipped(size_t row) const {
    const RowView view(catalogue_, statistics_.get(), request(row), options_.prompt);
    Rng rng(options_.seed, "flipped facts", row);
    const FlippedReasoning result = flip_claims(facts_, view.style(), view.context(), rng);
    EXPECT_EQ(result.flipped, 2) << result.text;
    return result.text;
  }
  // `script`: of each row the lines that may be written, the first one where nothing is given. Any
  // other beginning of a reasoning is an error.
  Predictions ask(const std::vector<std::vector<Line>>& script) {
    const PromptEncoder encoder{*tokenizer_, catalogue_};
    std::vector<Request> requests;
    std::vector<GenerationRequest> asked;
    for (size_t r = 0; r < script.size(); ++r) {
      requests.push_back(request(r));
      asked.push_back(generation_request(encoder, requests[r], options_.prompt, 4));
    }
    const ReasoningFormat format = generation_options(*tokenizer_, options_, 4).format;
    const ScriptedLlm model(tokenizer_->vocab_size(), [&](const TokenIds& path) {
      for (size_t r = 0; r < script.size(); ++r) {
        const TokenIds& prompt = asked[r].prompt;
        if (path.size() < prompt.size() || !std::equal(prompt.begin(), prompt.end(), path.begin()))
          continue;
        return next(std::span(path).subspan(prompt.size()), script[r], asked[r].answers, format);
      }
      return ScriptedLlm::Next{};  // within a prompt
    });
    return ask_language_model(model, encoder, requests, options_);
  }

  // What follows `written` in the first line that begins with it.
  ScriptedLlm::Next next(std::span<const int64_t> written, const std::vector<Line>& lines,
                         const Answers& answers, const ReasoningFormat& format) const {
    for (const Line& line : lines) {
      std::string text;
      for (size_t n = 0; n <= written.size(); ++n) {
        if (n > 0) text += tokenizer_->decode(written.subspan(n - 1, 1));
        if (text != line.reasoning) continue;
        TokenIds rest = format.close;
        rest.insert(rest.end(), answers[line.answer].begin(), answers[line.answer].end());
        rest.insert(rest.end(), format.finish.begin(), format.finish.end());
        const size_t at = written.size() - n;
        return at < rest.size() ? ScriptedLlm::Next{rest[at], kLogit} : ScriptedLlm::Next{};
      }
      if (line.reasoning.starts_with(text))
        return {tokenizer_->encode(line.reasoning.substr(text.size())).at(0), kLogit};
    }
    throw std::runtime_error("no line begins with: " + tokenizer_->decode(written));
  }

  const Catalogue catalogue_ = small_catalogue();
  const std::shared_ptr<const TemporalStatistics> statistics_ =
      std::make_shared<const TemporalStatistics>(small_statistics());
  std::unique_ptr<Tokenizer> tokenizer_;
  ProtocolOptions options_;
  std::string facts_;  // two true ones
};

TEST_P(FlippedFacts, change_what_the_script_says_and_nothing_else) {
  const std::string order = says({"order", "need( crime)", "pick( 1)"}),
                    taste = says({"taste", "need( drama)", "pick( 4)"}),
                    crime = says({"need( crime)"}), drama = says({"need( drama)"});
  const std::vector<std::vector<Line>> script{
      {{facts_ + order, 0}, {flipped(0) + taste, 3}},   // decision and answer follow the facts
      {{facts_ + order, 0}, {flipped(1) + order, 0}},   // neither
      {{facts_, 3}},                                    // decides nothing
      {{order + facts_, 1}},                            // decides before it knows anything
      {{facts_ + order, 0}, {flipped(4) + order, 3}},   // the answer alone
      {{facts_ + order, 0}, {flipped(5) + taste, 0}},   // the decision alone
      {{facts_ + crime, 0}, {flipped(6) + drama, 0}}};  // without a word for what decides
  using enum DecisionChange;
  constexpr DecisionChange kDecisions[] = {kChanged, kKept,    kNone,   kKept,
                                           kKept,    kChanged, kChanged};
  const Predictions found = ask(script);
  EXPECT_EQ(found.protocol, "flipped-facts");
  ASSERT_EQ(found.rows.size(), script.size());
  for (size_t r = 0; r < script.size(); ++r) {
    const Prediction& row = found.rows[r];
    const Line &own = script[r].front(), &now = script[r].back();
    ASSERT_TRUE(row.change.has_value());
    EXPECT_EQ(row.row, static_cast<int64_t>(r));
    EXPECT_EQ(row.reasoning, now.reasoning) << r;
    EXPECT_TRUE(row.valid) << r;
    EXPECT_EQ(row.answer, static_cast<int32_t>(now.answer) + 1) << r;
    EXPECT_EQ(row.change->claims, script[r].size() == 2 ? 2 : 0) << r;
    EXPECT_EQ(row.change->flipped, row.change->claims) << r;
    EXPECT_EQ(row.change->decision, kDecisions[r]) << r;
    EXPECT_EQ(row.change->answer_changed, own.answer != now.answer) << r;
    EXPECT_EQ(row.change->own_hit, own.answer == 3) << r;
    // One number against the three others: e^l against 1 each.
    const double moved = (std::exp(kLogit) - 1) / (std::exp(kLogit) + 3);
    EXPECT_NEAR(row.change->total_variation, own.answer != now.answer ? moved : 0, 1e-4) << r;
  }
  const ReasoningChanges changes = summarize_changes(found).value();
  EXPECT_EQ(changes.flipped_rows, 5);
  ASSERT_TRUE(changes.decisions.has_value());
  EXPECT_EQ(changes.decisions->rows_without_decision, 1);
  EXPECT_EQ(changes.decisions->rows_without_flip, 1);
  EXPECT_DOUBLE_EQ(changes.decisions->decision_changed.mean, 3.0 / 7);
  EXPECT_DOUBLE_EQ(changes.decisions->answer_changed.mean, 2.0 / 7);
  EXPECT_DOUBLE_EQ(changes.decisions->own_hit1.mean, 1.0 / 7);
  EXPECT_DOUBLE_EQ(changes.decisions->hit1.mean, 3.0 / 7);
}

TEST_P(FlippedFacts, are_none_where_no_row_decides) {
  const Predictions found = ask({{{facts_, 0}}, {{facts_, 3}}});
  const ReasoningChanges changes = summarize_changes(found).value();
  EXPECT_EQ(changes.total_variation.mean, 0);
  EXPECT_EQ(changes.decisions->rows_without_decision, 2);
  EXPECT_EQ(changes.decisions->own_hit1.mean, 0.5);
  EXPECT_EQ(to_json(changes).at("rows_without_decision").get<int>(), 2);
  EXPECT_FALSE(to_json(changes).contains("claims"));
}

INSTANTIATE_TEST_SUITE_P(Styles, FlippedFacts,
                         testing::Values(FlippedFactsCase{"compact", AnswerKind::kNumber},
                                         FlippedFactsCase{"compact", AnswerKind::kTitle},
                                         FlippedFactsCase{"natural", AnswerKind::kNumber},
                                         FlippedFactsCase{"natural", AnswerKind::kTitle}));

}  // namespace
}  // namespace etrlrec
