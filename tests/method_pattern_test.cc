// Knowledge "pattern" on its way through the stages: who may be asked about which rows, what is
// recorded, and what later stages need.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/check.h"
#include "method/audit.h"
#include "method/evaluate.h"
#include "method/fit.h"
#include "method/knowledge.h"
#include "method/ranking_service.h"
#include "refusals.h"
#include "stages_fixture.h"
#include "temporal/prompts.h"

namespace etrlrec {
namespace {

class Patterns : public Stages {
 protected:
  static void SetUpTestSuite() {
    Stages::SetUpTestSuite();
    fit_into("early", 0.5);
    fit_into("late", 1);
    construct(pattern_into("pattern"));
    DistillOptions options = pattern_student("student");
    distill(options);
  }

  static void fit_into(const std::string& name, double share) {
    FitOptions options;
    options.data = root_ / "data";
    options.out = root_ / name;
    options.models = {"markov", "popularity"};
    options.train_share = share;
    fit(options);
  }

  static ConstructOptions pattern_into(const std::string& name) {
    ConstructOptions options = construct_into(name);
    options.knowledge = Knowledge::kPattern;
    options.recommender = root_ / "early/markov";
    options.knowledge_items = 3;
    options.hint_policy = "never";
    options.filter_answer = false;
    return options;
  }

  static DistillOptions pattern_student(const std::string& name) {
    DistillOptions options = distill_into(name);
    options.reasoning = root_ / "pattern";
    options.recommenders = {root_ / "early/markov"};
    return options;
  }
};

TEST_F(Patterns, are_those_of_the_recommender_before_the_request) {
  const Study study = open_study(root_ / "data");
  RowSource rows(study, study.candidates("train"),
                 {.knowledge = Knowledge::kPattern, .knowledge_items = 3});
  const auto source =
      open_knowledge(rows.prompt(), {}, root_ / "early/markov", study.dataset, {}, "test");
  const std::vector<int64_t> open = add_training_knowledge(*source, rows);
  EXPECT_GT(open.size(), 20u);
  EXPECT_LT(open.size(), 150u);
  const auto recommender = load_recommender_of(root_ / "early/markov", study.dataset);
  for (int64_t row = 0; row < rows.size(); ++row) {
    const bool may = source->may_ask(study.dataset, rows.set().rows[static_cast<size_t>(row)]);
    EXPECT_EQ(may, rows.request_time(row) > trained_until(root_ / "early/markov"));
    EXPECT_EQ(std::binary_search(open.begin(), open.end(), row), may);
    EXPECT_EQ(rows.known(row).pattern.size(), may ? 3u : 0u);
    if (!may) {
      EXPECT_THROW(rows.view(row).prompt(), Error);
      continue;
    }
    // Candidates by their scores: none that is left out is better than one that is in.
    Request request = make_request(study.dataset, rows.set(), row, kRecommenderHistory);
    EXPECT_TRUE(std::all_of(request.times.begin(), request.times.end(),
                            [&](int64_t time) { return time <= request.now; }));
    const HistoryView history{request.history, request.times, request.now};
    const at::Tensor scores = recommender->score({&history, 1})[0];
    const auto score = [&](int32_t item) { return scores[item].item<float>(); };
    float last = 0;
    for (size_t place = 0; place < 3; ++place) {
      const int32_t item = rows.known(row).pattern[place];
      EXPECT_TRUE(place == 0 || score(item) <= last);
      last = score(item);
      std::erase(request.candidates, item);
    }
    for (const int32_t item : request.candidates) EXPECT_LE(score(item), last);
    EXPECT_EQ(rows.view(row).request().known.pattern, rows.known(row).pattern);
  }
  EXPECT_GT(list_precision(rows, open, &KnownItems::pattern), 1.0 / 6);
}

TEST_F(Patterns, of_the_whole_catalogue_may_leave_seen_items_out) {
  const Study study = open_study(root_ / "data");
  const PatternSource source(root_ / "early/markov", study.dataset, {}, 40);
  const CandidateSet set = study.candidates("valid");
  std::vector<Request> requests =
      make_requests(study.dataset, set, std::vector<int64_t>{0, 5}, 200);
  for (Request& request : requests) request.candidates.clear();
  const auto all = source.patterns(requests), unseen = source.patterns(requests, true);
  for (size_t r = 0; r < requests.size(); ++r) {
    EXPECT_EQ(all[r].size(), 40u);
    for (const int32_t item : requests[r].history)
      EXPECT_EQ(std::count(unseen[r].begin(), unseen[r].end(), item), 0);
  }
}

TEST_F(Patterns, construct_writes_only_rows_after_the_training_and_records_it) {
  const ReasoningRecord record = read_reasoning_record(root_ / "pattern");
  EXPECT_EQ(record.prompt.knowledge, Knowledge::kPattern);
  EXPECT_EQ(record.prompt.knowledge_items, 3);
  ASSERT_TRUE(record.pattern.has_value());
  EXPECT_EQ(record.pattern->recommender, "markov");
  EXPECT_EQ(record.prompt.recommender, "markov");
  EXPECT_EQ(record.pattern->fit_hash.size(), 64u);
  const int64_t until = trained_until(root_ / "early/markov");
  int64_t lines = 0, follow = 0;
  for_each_json_line(root_ / "pattern/reasoning.jsonl", [&](const Json& line, int64_t) {
    EXPECT_GT(line["meta"]["now"].get<int64_t>(), until);
    EXPECT_NE(line["prompt"].get<std::string>().find("\nMarkov; "), std::string::npos);
    EXPECT_NE(line["completion"].get<std::string>().find(" first( "), std::string::npos);
    follow += line["completion"].get<std::string>().find(" follow( 1)") != std::string::npos;
    ++lines;
  });
  EXPECT_GT(lines, 20);
  EXPECT_GT(follow, 0);
  EXPECT_EQ(read_reasoning_record(root_ / "reasoning").prompt.knowledge, Knowledge::kNone);
  const Json plain = read_json(root_ / "reasoning/construct.json");
  EXPECT_FALSE(plain["options"].contains("knowledge"));
}

TEST_F(Patterns, construct_refuses_knowledge_that_is_not_honest_or_not_there) {
  ConstructOptions options = pattern_into("never");
  options.recommender.clear();
  refuses([&] { setup(options); }, ExitCode::kUsage, "--recommender FOLDER of fit");
  options = pattern_into("never");
  options.knowledge = Knowledge::kNone;
  refuses([&] { setup(options); }, ExitCode::kUsage, "construct --knowledge pattern");
  options = pattern_into("never");
  options.recommender = root_ / "late/markov";
  refuses([&] { setup(options); }, ExitCode::kInput, "fit --train-share 0.5");
  options = pattern_into("never");
  options.knowledge_items = 0;
  refuses([&] { setup(options); }, ExitCode::kUsage, "--knowledge-items");
}

TEST_F(Patterns, distill_shows_them_and_learns_from_later_rows_only) {
  const DistillSetup made = setup(pattern_student("never"));
  EXPECT_EQ(made.card.prompt.knowledge, Knowledge::kPattern);
  EXPECT_EQ(made.card.pattern, read_reasoning_record(root_ / "pattern").pattern);
  DistillOptions label = pattern_student("never");
  label.label_only = true;
  label.sft_share = 1;
  const Study study = open_study(root_ / "data");
  const RowSource rows(study, study.candidates("train"), {});
  int64_t later = 0;
  for (int64_t row = 0; row < rows.size(); ++row)
    later += rows.request_time(row) > trained_until(root_ / "early/markov");
  EXPECT_EQ(std::ssize(setup(label).rows), later);
  const ModelCard card = load_model_folder(root_ / "student", "").card;
  EXPECT_EQ(card.pattern, made.card.pattern);
  EXPECT_EQ(card.prompt.recommender, "markov");
}

// Older versions headed every list alike; their models go on reading that.
TEST_F(Patterns, of_an_older_version_stay_without_a_name) {
  fs::copy(root_ / "student", root_ / "older", fs::copy_options::recursive);
  const fs::path path = root_ / "older/etrlrec.json";
  Json card = read_json(path);
  ASSERT_TRUE(card.at("pattern").at("named").get<bool>());
  card["pattern"].erase("named");
  write_file_atomic(path, card.dump());
  const ModelCard older = load_model_folder(root_ / "older", "").card;
  EXPECT_EQ(older.pattern->recommender, "markov");
  EXPECT_EQ(older.prompt.recommender, "");
}

TEST_F(Patterns, distill_refuses_another_recommender_and_none) {
  DistillOptions options = pattern_student("never");
  options.recommenders.clear();
  refuses([&] { setup(options); }, ExitCode::kUsage, "expected a markov");
  options.recommenders = {root_ / "late/markov"};
  refuses([&] { setup(options); }, ExitCode::kModel, "of another markov");
  options.recommenders = {root_ / "early/popularity"};
  refuses([&] { setup(options); }, ExitCode::kModel, "patterns of a markov, found a popularity");
  options = distill_into("never");
  options.recommenders = {root_ / "early/markov"};
  refuses([&] { setup(options); }, ExitCode::kUsage, "without knowledge");
}

TEST_F(Patterns, reinforce_goes_on_with_them_and_refuses_to_without) {
  ReinforceOptions options = reinforce_into("student", "policy");
  options.reasoning = root_ / "pattern";
  refuses([&] { setup(options); }, ExitCode::kUsage, "expected a markov");
  options.recommender = root_ / "early/popularity";
  refuses([&] { setup(options); }, ExitCode::kModel, "found a popularity");
  options.recommender = root_ / "early/markov";
  EXPECT_EQ(reinforce(options).steps, 2);
  EXPECT_EQ(load_model_folder(root_ / "policy", "").card.prompt.knowledge, Knowledge::kPattern);
}

TEST_F(Patterns, evaluate_asks_any_recommender_of_the_type) {
  refuses([&] { setup(evaluation_of("student", "")); }, ExitCode::kUsage, "expected a markov");
  refuses([&] { setup(evaluation_of("student", "late/popularity")); }, ExitCode::kModel,
          "found a popularity");
  refuses([&] { setup(evaluation_of("late/markov", "late/markov")); }, ExitCode::kUsage,
          "only language models");
  distill(distill_into("plain"));
  refuses([&] { setup(evaluation_of("plain", "late/markov")); }, ExitCode::kUsage,
          "without knowledge");
  for (const std::string recommender : {"early/markov", "late/markov"}) {
    EvaluateSetup made = setup(evaluation_of("student", recommender));
    for (const Request& request : made.requests) EXPECT_EQ(request.known.pattern.size(), 3u);
    EXPECT_EQ(run(std::move(made)).row.n, 20);
  }
  EvaluateOptions elimination = evaluation_of("student", "late/markov");
  elimination.protocol.name = "elimination";
  EXPECT_EQ(run(setup(elimination)).row.n, 20);
}

TEST_F(Patterns, recommend_shows_what_its_recommender_says) {
  RankerOptions options;
  options.data = root_ / "data";
  options.model = root_ / "student";
  refuses([&] { Ranker{options}; }, ExitCode::kUsage, "expected a markov");
  options.recommender = root_ / "late/popularity";
  refuses([&] { Ranker{options}; }, ExitCode::kModel, "found a popularity");
  options.recommender = root_ / "late/markov";
  Ranker ranker(options);
  RankingQuery query;
  query.user = ranker.user_ids()[3];
  const std::vector<Request> requests = ranker.requests({&query, 1});
  // The candidates are its best items, in its order.
  const std::vector<int32_t>& candidates = requests[0].candidates;
  EXPECT_EQ(requests[0].known.pattern,
            std::vector<int32_t>(candidates.begin(), candidates.begin() + 3));
  query.num_candidates = 0;
  refuses([&] { ranker.requests({&query, 1}); }, ExitCode::kUsage, "answers by number");
  ranker.load();
  EXPECT_EQ(ranker.rank(requests, 4)[0].items.size(), 4u);
}

TEST_F(Patterns, audit_makes_them_again) {
  const std::string early = root_ / "early/markov";
  EXPECT_EQ(audit({root_ / "data", root_ / "pattern", {early}}).total(), 0);
  refuses(
      [&] {
        audit({root_ / "data", root_ / "pattern"});
      },
      ExitCode::kUsage, "expected a markov");
  refuses(
      [&] {
        audit({root_ / "data", root_ / "reasoning", {early}});
      },
      ExitCode::kUsage, "without knowledge");
  // A recommender that has learned from the rows is found, and so is a line that says what it
  // would.
  const AuditReport late = audit({root_ / "data", root_ / "pattern", {root_ / "late/markov"}});
  EXPECT_GT(late.counts.at("pattern"), 20);
  forge_first_prompt("pattern", "Markov; ", "changed");
  EXPECT_EQ(audit({root_ / "data", root_ / "changed", {early}}).counts.at("prompt"), 1);
}

}  // namespace
}  // namespace etrlrec
