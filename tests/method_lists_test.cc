// Knowledge "list": what a recommender puts first of the whole catalogue, as text in the prompts of
// DELRec's stage 2 (method.md B.3, B.9), cross-fitted over users; and the audit of who was asked.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "method/audit.h"
#include "method/evaluate.h"
#include "method/fit.h"
#include "method/knowledge.h"
#include "method/ranking_service.h"
#include "method/soft_prompt.h"
#include "refusals.h"
#include "stages_fixture.h"
#include "temporal/prompts.h"
#include "title_model.h"

namespace etrlrec {
namespace {

constexpr int32_t kItems = 4;

class Lists : public Stages {
 protected:
  static void SetUpTestSuite() {
    Stages::SetUpTestSuite();
    make_new_lm(title_model_options(root_ / "data", root_ / "titles"));
    fit_into("fold0", 1, {2, 0, 42});
    fit_into("fold1", 1, {2, 1, 42});
    fit_into("early", 0.5, {});
    fit_into("whole", 1, {});
    distill(student("student"));
  }
  static void fit_into(const std::string& name, double share, const UserFold& left_out) {
    FitOptions options;
    options.data = root_ / "data";
    options.out = root_ / name;
    options.models = {"markov"};
    options.train_share = share;
    options.left_out = left_out;
    fit(options);
  }
  static std::vector<std::string> folds() {
    return {root_ / "fold0/markov", root_ / "fold1/markov"};
  }
  static DistillOptions student(const std::string& name) {
    DistillOptions options = distill_into(name);
    options.reasoning.clear();
    options.model = root_ / "titles";
    options.label_only = true;
    options.answer_loss = "candidates";
    options.sft_share = 1;
    options.knowledge = Knowledge::kList;
    options.knowledge_items = kItems;
    options.recommenders = folds();
    return options;
  }
  // A copy of a recommender that says of itself that it has left out another fold.
  static std::string forged(const std::string& from, const std::string& name, int32_t fold) {
    fs::create_directories(root_ / name);
    fs::copy(root_ / from / "markov", root_ / name / "markov", fs::copy_options::recursive);
    const fs::path record = root_ / name / "markov/inputs.json";
    Json inputs = read_json(record);
    inputs["left_out"] = {{"folds", 2}, {"fold", fold}, {"seed", 42}};
    write_file_atomic(record, inputs.dump());
    return root_ / name / "markov";
  }
};

// Request::known of every row of the training part: best unseen titles of the catalogue.
TEST_F(Lists, show_training_rows_what_a_stranger_says) {
  const Study study = open_study(root_ / "data");
  const PromptOptions prompt{
      .answer = AnswerKind::kTitle, .knowledge = Knowledge::kList, .knowledge_items = kItems};
  const std::string protocol = load_split(root_ / "data").protocol;
  RowSource rows(study, study.candidates("train"), prompt);
  const auto source = open_knowledge(prompt, {}, folds(), protocol, study.dataset, {}, "test");
  const std::vector<int64_t> open = add_training_knowledge(*source, rows);
  EXPECT_EQ(std::ssize(open), rows.size());  // each user has a stranger
  const CrossFittedLists expected(folds(), study.dataset, protocol, {}, kItems);
  const auto lists = expected.lists(rows.set().rows);
  int outside = 0;
  for (int64_t row = 0; row < rows.size(); ++row) {
    const RowView view = rows.view(row);
    const std::vector<int32_t>& list = view.request().known.pattern;
    EXPECT_EQ(list, lists[static_cast<size_t>(row)]);
    const std::set<int32_t> seen(view.request().history.begin(), view.request().history.end());
    std::string text = "\nPattern;";
    for (const int32_t item : list) {
      EXPECT_FALSE(seen.contains(item));
      text += find_style("compact").title(study.dataset.catalogue, item);
      const auto& all = view.request().candidates;
      outside += std::find(all.begin(), all.end(), item) == all.end();
    }
    EXPECT_NE(view.prompt().find(text), std::string::npos) << view.prompt();
    // Facts cover them: the places of the list, and which candidates they are.
    ASSERT_EQ(view.facts().pattern.size(), list.size());
    for (size_t place = 0; place < list.size(); ++place) {
      EXPECT_EQ(view.facts().pattern[place].item, list[place]);
      const int32_t candidate = view.facts().pattern[place].candidate;
      EXPECT_TRUE(candidate == -1 || view.request().candidates[candidate] == list[place]);
    }
  }
  EXPECT_GT(outside, rows.size());  // they are not lists of candidates
}

// One that was fitted on earlier events is asked about later rows, and in the other half none.
TEST_F(Lists, of_one_recommender_are_of_later_rows) {
  DistillOptions options = student("never");
  const size_t all = setup(options).rows.size();
  options.recommenders = {root_ / "early/markov"};
  const size_t later = setup(options).rows.size();
  EXPECT_GT(later, 20u);
  EXPECT_LT(later, all);
  options.recommenders = {root_ / "fold0/markov"};
  const size_t half = setup(options).rows.size();
  EXPECT_GT(half, 20u);
  EXPECT_LT(half, all);
  options.recommenders = {root_ / "whole/markov"};
  refuses([&] { setup(options); }, ExitCode::kInput, "has learned from all");
}

TEST_F(Lists, are_what_later_stages_and_questions_show) {
  const LoadedModel loaded = load_model_folder(root_ / "student", "");
  EXPECT_EQ(loaded.card.prompt.knowledge, Knowledge::kList);
  EXPECT_EQ(loaded.card.prompt.knowledge_items, kItems);
  ASSERT_TRUE(loaded.card.pattern.has_value());
  EXPECT_EQ(loaded.card.pattern->recommender, "markov");
  EXPECT_EQ(loaded.card.prompt.recommender, "markov");
  std::vector<std::string> reversed = folds();
  std::reverse(reversed.begin(), reversed.end());
  const Study study = open_study(root_ / "data");
  EXPECT_EQ(CrossFittedLists(reversed, study.dataset, "", {}, 3).record(), *loaded.card.pattern);

  EvaluateOptions asked;
  asked.data = root_ / "data";
  asked.model = root_ / "student";
  asked.candidates = root_ / "data/candidates-valid.jsonl";
  refuses([&] { setup(asked); }, ExitCode::kUsage, "expected a markov");
  asked.recommender = root_ / "whole/markov";
  EvaluateSetup made = setup(asked);
  const auto whole = load_recommender_of(root_ / "whole/markov", study.dataset);
  const auto canonical = canonical_items(study.dataset.catalogue);
  for (size_t r = 0; r < made.requests.size(); ++r) {
    const Request& request = made.requests[r];
    const HistoryView history{request.history, request.times, request.now, request.user};
    const at::Tensor scores = whole->score({&history, 1})[0];
    ASSERT_EQ(request.known.pattern.size(), size_t{kItems});
    std::set<int32_t> titles;
    for (const int32_t item : request.history) titles.insert(canonical[static_cast<size_t>(item)]);
    for (const int32_t item : request.known.pattern)
      EXPECT_TRUE(titles.insert(canonical[static_cast<size_t>(item)]).second);
    const float last = scores[request.known.pattern.back()].item<float>();
    for (int32_t item = 0; item < study.dataset.catalogue.num_items(); ++item)
      if (!titles.contains(canonical[static_cast<size_t>(item)])) {
        EXPECT_LE(scores[item].item<float>(), last);
      }
  }
  EXPECT_EQ(run(std::move(made)).row.n, 20);

  RankerOptions ranking;
  ranking.data = root_ / "data";
  ranking.model = root_ / "student";
  ranking.recommender = root_ / "whole/markov";
  Ranker ranker(ranking);
  RankingQuery query;
  query.user = ranker.user_ids()[3];
  const std::vector<Request> requests = ranker.requests({&query, 1});
  EXPECT_EQ(requests[0].known.pattern.size(), size_t{kItems});
  ranker.load();
  EXPECT_EQ(ranker.rank(requests, 4)[0].items.size(), 4u);
}

TEST_F(Lists, need_titles_as_answers_and_their_recommenders) {
  DistillOptions options = student("never");
  options.recommenders.clear();
  refuses([&] { setup(options); }, ExitCode::kUsage, "--recommender FOLDER");
  options = student("never");
  options.knowledge = Knowledge::kPattern;
  refuses([&] { setup(options); }, ExitCode::kUsage, "expected one, found 2");
  options = student("never");
  options.knowledge_items = 1;
  refuses([&] { setup(options); }, ExitCode::kUsage,
          "--knowledge-items, --list-items: expected at least 2");
  options = student("never");
  options.knowledge = Knowledge::kNone;
  refuses([&] { setup(options); }, ExitCode::kUsage, "without knowledge");
  options = student("never");
  options.reasoning = root_ / "reasoning";
  refuses([&] { setup(options); }, ExitCode::kUsage, "only without --reasoning");
  ConstructOptions by_number = construct_into("never");
  by_number.knowledge = Knowledge::kList;
  by_number.recommender = root_ / "early/markov";
  refuses([&] { setup(by_number); }, ExitCode::kUsage, "answers by number");
}

TEST_F(Lists, may_be_reasoned_about) {
  ConstructOptions options = construct_into("list-reasoning");
  options.answer = AnswerKind::kTitle;
  options.knowledge = Knowledge::kList;
  options.knowledge_items = kItems;
  options.recommender = root_ / "early/markov";
  options.hint_policy = "never";
  options.filter_answer = false;
  EXPECT_GT(construct(options).kept, 20);
  const std::string early = root_ / "early/markov";
  EXPECT_EQ(audit({root_ / "data", root_ / "list-reasoning", {early}}).total(), 0);
  const AuditReport late =
      audit({root_ / "data", root_ / "list-reasoning", {root_ / "whole/markov"}});
  EXPECT_GT(late.counts.at("pattern"), 20);
}

// No list comes from a recommender that has seen its user's later events: what folders say of
// themselves is compared with what they have learned from.
TEST_F(Lists, audit_finds_a_recommender_that_knows_the_answers) {
  SoftPromptOptions options;
  options.data = root_ / "data";
  options.model = root_ / "titles";
  options.out = root_ / "prompt";
  options.tasks = {"rps"};
  options.recommenders = folds();
  options.list_items = 3;
  options.num_candidates = 6;
  options.prompt.num_virtual_tokens = 3;
  options.eval_rows = 0;
  options.trainer.max_steps = 1;
  soft_prompt(options);
  for (const char* model : {"prompt", "student"}) {
    const AuditReport clean = audit({root_ / "data", "", folds(), root_ / model});
    EXPECT_EQ(clean.total(), 0) << model;
    int64_t asked = 0;
    for (const auto& [check, things] : clean.checked)
      if (check.starts_with("lists of ")) asked += things;
    EXPECT_EQ(asked, 150) << model;  // every training row once
    // Other recommenders than those of the training.
    const AuditReport others = audit({root_ / "data", "", {root_ / "fold0/markov"}, root_ / model});
    EXPECT_EQ(others.counts, (std::map<std::string, int64_t>{{"recommender", 1}})) << model;
  }
  // A leak: it was fitted on everybody and says that it has left a fold out.
  const std::string leak = forged("whole", "leak", 0);
  options.out = root_ / "leaked";
  options.recommenders = {leak, root_ / "fold1/markov"};
  soft_prompt(options);
  DistillOptions leaked = student("leaked-student");
  leaked.recommenders = options.recommenders;
  distill(leaked);
  for (const char* model : {"leaked", "leaked-student"}) {
    const AuditReport found = audit({root_ / "data", "", options.recommenders, root_ / model});
    EXPECT_EQ(found.counts, (std::map<std::string, int64_t>{{"cross-fitting", 1}})) << model;
  }
  // The folds changed places: each is asked about the users that it knows.
  const std::vector<std::string> swapped{forged("fold1", "swapped0", 0),
                                         forged("fold0", "swapped1", 1)};
  options.out = root_ / "swapped";
  options.recommenders = swapped;
  soft_prompt(options);
  EXPECT_EQ(audit({root_ / "data", "", swapped, root_ / "swapped"}).counts.at("cross-fitting"), 2);
}

TEST_F(Lists, audit_needs_a_model_with_lists_and_its_recommenders) {
  refuses(
      [&] {
        audit({root_ / "data", "", {}, root_ / "student"});
      },
      ExitCode::kUsage, "--recommender FOLDER of each");
  refuses(
      [&] {
        audit({root_ / "data", "", folds(), root_ / "titles"});
      },
      ExitCode::kUsage, "no recommender's lists");
  refuses(
      [&] {
        audit({root_ / "data", root_ / "reasoning", {}, root_ / "student"});
      },
      ExitCode::kUsage, "found both");
}

}  // namespace
}  // namespace etrlrec
