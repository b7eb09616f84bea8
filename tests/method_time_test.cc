// Knowledge "time" and listed candidates on their way through the stages.
#include <gtest/gtest.h>

#include <functional>

#include "base/check.h"
#include "method/audit.h"
#include "method/evaluate.h"
#include "method/knowledge.h"
#include "method/ranking_service.h"
#include "refusals.h"
#include "stages_fixture.h"
#include "temporal/prompts.h"

namespace etrlrec {
namespace {

class TimeKnowledge : public Stages {
 protected:
  static void SetUpTestSuite() {
    Stages::SetUpTestSuite();
    construct(time_into("time"));
    DistillOptions options = distill_into("student");
    options.reasoning = root_ / "time";
    distill(options);
  }

  static ConstructOptions time_into(const std::string& name) {
    ConstructOptions options = construct_into(name);
    options.knowledge = Knowledge::kTime;
    options.knowledge_items = 4;
    options.hint_policy = "never";
    options.filter_answer = false;
    return options;
  }
};

TEST_F(TimeKnowledge, is_that_of_everybody_before_the_row) {
  const Study study = open_study(root_ / "data");
  RowSource rows(study, study.candidates("train"),
                 {.knowledge = Knowledge::kTime, .knowledge_items = 4});
  const auto source = open_knowledge(rows.prompt(), {}, "", study.dataset, {}, "test");
  EXPECT_FALSE(source->record());
  const std::vector<int64_t> open = add_training_knowledge(*source, rows);
  EXPECT_EQ(std::ssize(open), rows.size());  // nobody has learned from any
  const Moments moments(study.dataset);
  for (const int64_t row : open) {
    Request request = make_request(study.dataset, rows.set(), row, kRecommenderHistory);
    request.known = moments.known(request, 4, false);
    EXPECT_EQ(rows.known(row).lately, request.known.lately);
    EXPECT_EQ(rows.view(row).request().known.after, request.known.after);
    EXPECT_EQ(rows.known(row).fresh, request.known.fresh);
  }
  const double precision = list_precision(rows, open, &KnownItems::lately);
  EXPECT_GT(precision, 0);
  EXPECT_LT(precision, 1);
  EXPECT_EQ(list_precision(rows, open, &KnownItems::pattern), 0);
}

TEST_F(TimeKnowledge, goes_from_stage_to_stage_without_a_recommender) {
  const ReasoningRecord record = read_reasoning_record(root_ / "time");
  EXPECT_EQ(record.prompt.knowledge, Knowledge::kTime);
  EXPECT_EQ(record.prompt.knowledge_items, 4);
  EXPECT_FALSE(record.pattern);
  int64_t claims = 0;
  for_each_json_line(root_ / "time/reasoning.jsonl", [&](const Json& line, int64_t) {
    EXPECT_NE(line["prompt"].get<std::string>().find("\nLately; "), std::string::npos);
    claims += line["completion"].get<std::string>().find(" lately( ") != std::string::npos;
  });
  EXPECT_GT(claims, 50);
  EXPECT_EQ(load_model_folder(root_ / "student", "").card.prompt.knowledge, Knowledge::kTime);
  EvaluateSetup made = setup(evaluation_of("student"));
  for (const Request& request : made.requests) EXPECT_EQ(request.known.lately.size(), 4u);
  EXPECT_EQ(run(std::move(made)).row.n, 20);
  ReinforceOptions options = reinforce_into("student", "policy");
  options.reasoning = root_ / "time";
  EXPECT_EQ(reinforce(options).steps, 2);
  EXPECT_EQ(load_model_folder(root_ / "policy", "").card.prompt.knowledge_items, 4);
  EvaluateOptions with_recommender = evaluation_of("student");
  with_recommender.recommender = root_ / "nowhere";
  refuses([&] { setup(with_recommender); }, ExitCode::kUsage, "without knowledge");
  ConstructOptions nothing = time_into("never");
  nothing.knowledge_items = 0;
  refuses([&] { setup(nothing); }, ExitCode::kUsage, "--knowledge-items");
}

TEST_F(TimeKnowledge, is_made_again_by_audit) {
  EXPECT_EQ(audit({root_ / "data", root_ / "time"}).total(), 0);
  forge_first_prompt("time", "Lately; ", "changed");
  EXPECT_EQ(audit({root_ / "data", root_ / "changed"}).counts.at("prompt"), 1);
}

TEST_F(TimeKnowledge, is_shown_by_recommend_too) {
  RankerOptions options;
  options.data = root_ / "data";
  options.model = root_ / "student";
  Ranker ranker(options);
  RankingQuery query;
  query.user = ranker.user_ids()[3];
  const std::vector<std::string>& ids = open_study(root_ / "data").dataset.catalogue.item_ids;
  query.candidates.assign(ids.begin(), ids.begin() + 6);
  const std::vector<Request> requests = ranker.requests({&query, 1});
  EXPECT_EQ(requests[0].known.lately.size(), 4u);
  ranker.load();
  EXPECT_EQ(ranker.rank(requests, 4)[0].items.size(), 4u);
}

TEST_F(TimeKnowledge, and_listed_candidates_are_for_answers_by_title_among_given_ones) {
  ConstructOptions options = construct_into("listed");
  options.list_candidates = true;
  refuses([&] { setup(options); }, ExitCode::kUsage, "--list-candidates");
  options.answer = AnswerKind::kTitle;
  construct(options);
  const ReasoningRecord record = read_reasoning_record(root_ / "listed");
  EXPECT_TRUE(record.prompt.list_candidates);
  EXPECT_EQ(audit({root_ / "data", root_ / "listed"}).total(), 0);
  DistillOptions student = distill_into("listing");
  student.reasoning = root_ / "listed";
  distill(student);
  EXPECT_TRUE(load_model_folder(root_ / "listing", "").card.prompt.list_candidates);
  EXPECT_EQ(run(setup(evaluation_of("listing"))).row.n, 20);
  EvaluateOptions all = evaluation_of("listing");
  all.candidates = "all";
  refuses([&] { setup(all); }, ExitCode::kUsage, "candidates that its prompt lists");
  RankerOptions ranking;
  ranking.data = root_ / "data";
  ranking.model = root_ / "listing";
  Ranker ranker(ranking);
  RankingQuery query;
  query.user = ranker.user_ids()[3];
  refuses([&] { ranker.requests({&query, 1}); }, ExitCode::kUsage, "or a recommender");
}

}  // namespace
}  // namespace etrlrec
