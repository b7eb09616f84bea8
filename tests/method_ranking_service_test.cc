#include <gtest/gtest.h>
#include <unistd.h>

#include <set>
#include <thread>

#include "base/check.h"
#include "base/io.h"
#include "base/log.h"
#include "method/fit.h"
#include "method/new_lm.h"
#include "method/prepare.h"
#include "method/ranking_service.h"
#include "title_model.h"

namespace etrlrec {
namespace {

class RankingService : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    set_log_options({.quiet = true, .progress = false});
    root_ = fs::temp_directory_path() / fmt::format("etrlrec_ranking_{}", ::getpid());
    make_data("data", 1);
    make_data("other", 2);
    for (const char* name : {"data", "other"}) {
      FitOptions fit_options;
      fit_options.data = root_ / name;
      fit_options.out = root_ / (std::string(name) + "-fit");
      fit_options.models = {"markov"};
      fit(fit_options);
    }
    NewLmOptions new_lm;
    new_lm.data = root_ / "data";
    new_lm.out = root_ / "lm";
    new_lm.hidden_size = 32;
    new_lm.num_hidden_layers = 2;
    new_lm.vocab_size = 800;
    new_lm.sample_rows = 20;
    make_new_lm(new_lm);
    write_card(new_lm.out, "number");
  }
  static void TearDownTestSuite() { fs::remove_all(root_); }

  static void make_data(const std::string& name, uint64_t seed) {
    PrepareOptions options;
    options.out = root_ / name;
    options.world = WorldOptions{.users = 40, .items = 60, .mean_events = 10, .seed = seed};
    options.candidates.count = 6;
    options.train.rows = 50;
    FolderWriter writer(options.out);
    prepare(options, writer.path());
    writer.commit();
  }
  static RankerOptions options() {
    RankerOptions options;
    options.data = root_ / "data";
    options.model = root_ / "lm";
    options.recommender = root_ / "data-fit/markov";
    return options;
  }
  static std::vector<RankingQuery> queries() {
    return {{.user = "u3", .num_candidates = 8},
            {.user = "u11", .num_candidates = 5},
            {.history = {"i1", "i7", "i20"}, .candidates = {"i2", "i3", "i4"}},
            {.user = "u25", .num_candidates = 8}};
  }
  static void expect_same(const Ranking& a, const Ranking& b) {
    ASSERT_EQ(a.items.size(), b.items.size());
    for (size_t i = 0; i < a.items.size(); ++i) {
      EXPECT_EQ(a.items[i].item, b.items[i].item);
      EXPECT_NEAR(a.items[i].score, b.items[i].score, 1e-5);
    }
    EXPECT_EQ(a.reasoning, b.reasoning);
    EXPECT_EQ(a.valid, b.valid);
    EXPECT_EQ(a.explanation.claims.size(), b.explanation.claims.size());
  }
  static inline fs::path root_;
};

TEST_F(RankingService, ranks_several_users_at_once_as_one_by_one) {
  Ranker ranker(options());
  ranker.load();
  const auto requests = ranker.requests(queries());
  const auto together = ranker.rank(requests, 3);
  ASSERT_EQ(together.size(), 4u);
  for (size_t r = 0; r < requests.size(); ++r) {
    const RankingQuery query = queries()[r];
    const auto alone = ranker.requests({&query, 1});
    EXPECT_EQ(alone[0].candidates, requests[r].candidates);
    expect_same(ranker.rank(alone, 3)[0], together[r]);
    EXPECT_EQ(together[r].items.size(), 3u);
    EXPECT_GE(together[r].items[0].score, together[r].items[2].score);
  }
}

TEST_F(RankingService, answers_several_threads) {
  Ranker ranker(options());
  ranker.load();
  const auto requests = ranker.requests(queries());
  const auto expected = ranker.rank(requests, 3);
  std::vector<std::vector<Ranking>> found(3);
  std::vector<std::thread> threads;
  for (auto& result : found)
    threads.emplace_back([&] { result = ranker.rank(ranker.requests(queries()), 3); });
  for (std::thread& thread : threads) thread.join();
  for (const auto& result : found) {
    ASSERT_EQ(result.size(), expected.size());
    for (size_t r = 0; r < expected.size(); ++r) expect_same(result[r], expected[r]);
  }
}

TEST_F(RankingService, candidates_are_unseen_or_those_that_were_named) {
  const Ranker ranker(options());
  const auto requests = ranker.requests(queries());
  for (const int32_t item : requests[0].candidates)
    EXPECT_EQ(std::count(requests[0].history.begin(), requests[0].history.end(), item), 0);
  EXPECT_EQ(requests[0].candidates.size(), 8u);
  EXPECT_EQ(std::set<int32_t>(requests[0].candidates.begin(), requests[0].candidates.end()).size(),
            8u);
  EXPECT_EQ(ranker.catalogue().item_ids[static_cast<size_t>(requests[2].candidates[1])], "i3");
  EXPECT_EQ(requests[2].times[2] - requests[2].times[1], 86400);
  EXPECT_EQ(requests[2].now - requests[2].times[2], 86400);
}

TEST_F(RankingService, refuses_what_it_does_not_know) {
  const auto refused = [](const Ranker& ranker, const RankingQuery& query, ExitCode code) {
    try {
      ranker.requests({&query, 1});
      ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code) << error.what();
    }
  };
  const Ranker ranker(options());
  refused(ranker, {.user = "nobody"}, ExitCode::kInput);
  refused(ranker, {.user = "u3", .candidates = {"nothing"}}, ExitCode::kInput);
  refused(ranker, {}, ExitCode::kUsage);
  RankerOptions alone = options();
  alone.recommender.clear();
  refused(Ranker(alone), {.user = "u3"}, ExitCode::kUsage);
}

TEST_F(RankingService, refuses_a_recommender_of_another_catalogue) {
  RankerOptions mixed = options();
  mixed.recommender = root_ / "other-fit/markov";
  try {
    const Ranker ranker(mixed);
    FAIL() << "a recommender of another catalogue with as many items was taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kModel);
    EXPECT_NE(std::string(error.what()).find("another catalogue"), std::string::npos);
  }
}

}  // namespace
}  // namespace etrlrec
