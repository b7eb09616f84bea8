// Tables of many users: what a ranking of each user by itself says, in every format, continued
// after an interruption and never written over something else.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "data/table_sniff.h"
#include "data/table_stream.h"
#include "method/fit.h"
#include "method/prepare.h"
#include "method/recommend_users.h"
#include "title_model.h"

namespace etrlrec {
namespace {

using Rows = std::vector<std::vector<std::string>>;

class RecommendUsers : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    set_log_options({.quiet = true, .progress = false});
    root_ = fs::temp_directory_path() / fmt::format("etrlrec_recommend_{}", ::getpid());
    PrepareOptions data;
    data.out = root_ / "data";
    data.world = WorldOptions{.users = 30, .items = 50, .mean_events = 8, .seed = 1};
    data.candidates.count = 6;
    data.train.rows = 40;
    FolderWriter writer(data.out);
    prepare(data, writer.path());
    writer.commit();
    FitOptions recommender;
    recommender.data = data.out;
    recommender.out = root_ / "fit";
    recommender.models = {"markov"};
    fit(recommender);
    NewLmOptions model = title_model_options(data.out, root_ / "titles");
    model.whole_titles = 30;
    make_new_lm(model);
    write_card(root_ / "titles");
  }
  static void TearDownTestSuite() { fs::remove_all(root_); }

  static RecommendUsersOptions options(const std::string& name) {
    RecommendUsersOptions options;
    options.ranker.data = root_ / "data";
    options.ranker.model = root_ / "titles";
    options.out = root_ / name;
    options.k = 4;
    return options;
  }
  // The columns in the order of the table, which the reader of JSON Lines does not keep.
  static Rows read(const fs::path& path) {
    const TableInfo info = sniff_table(path, {});
    std::vector<int32_t> columns;
    for (const char* name : {"user_id", "rank", "item_id", "title", "score"})
      columns.push_back(static_cast<int32_t>(
          std::find(info.columns.begin(), info.columns.end(), name) - info.columns.begin()));
    Rows rows;
    read_table(
        info, columns,
        [&](int64_t, std::span<const std::string_view> values) {
          rows.emplace_back(values.begin(), values.end());
        },
        [](int64_t, const std::string& reason, std::string_view) { ADD_FAILURE() << reason; });
    return rows;
  }
  static void expect_refused(const RecommendUsersOptions& options, ExitCode code,
                             const std::string& part) {
    try {
      recommend_users(options);
      ADD_FAILURE() << part;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code) << error.what();
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
  }
  static inline fs::path root_;
};

TEST_F(RecommendUsers, give_what_each_user_gets_alone) {
  const RecommendUsersOptions asked = options("all.csv");
  const RecommendUsersSummary summary = recommend_users(asked);
  Ranker ranker(asked.ranker);
  ranker.load();
  EXPECT_EQ(summary.users, std::ssize(ranker.user_ids()));
  EXPECT_EQ(summary.users_now, summary.users);
  const Rows rows = read(asked.out);
  ASSERT_EQ(std::ssize(rows), 4 * summary.users);
  for (size_t user = 0; user < ranker.user_ids().size(); ++user) {
    const RankingQuery query{.user = ranker.user_ids()[user]};
    const auto requests = ranker.requests({&query, 1});
    const Ranking alone = ranker.rank(requests, 4)[0];
    for (size_t i = 0; i < 4; ++i) {
      const std::vector<std::string>& row = rows[4 * user + i];
      EXPECT_EQ(row[0], query.user);
      EXPECT_EQ(row[1], std::to_string(i + 1));
      const auto item = static_cast<size_t>(alone.items[i].item);
      EXPECT_EQ(row[2], ranker.catalogue().item_ids[item]);
      EXPECT_EQ(row[3], ranker.catalogue().titles[item]);
      EXPECT_NEAR(std::stof(row[4]), alone.items[i].score, 1e-5);
      const auto& seen = requests[0].history;
      EXPECT_EQ(std::count(seen.begin(), seen.end(), alone.items[i].item), 0);
    }
  }
  EXPECT_FALSE(fs::exists(root_ / "all.csv.part.jsonl"));
  EXPECT_EQ(get<int64_t>(read_json(root_ / "all.csv.run.json"), "users", "record"), summary.users);
}

TEST_F(RecommendUsers, formats_beams_and_chosen_users) {
  write_file_atomic(root_ / "users.txt", "u7\n\nu3\n");
  RecommendUsersOptions asked = options("some.csv");
  asked.users = root_ / "users.txt";
  recommend_users(asked);
  const Rows csv = read(asked.out);
  ASSERT_EQ(csv.size(), 8u);
  EXPECT_EQ(csv[0][0], "u7");
  EXPECT_EQ(csv[4][0], "u3");
  for (const char* name : {"some.jsonl", "some.parquet"}) {
    asked.out = root_ / name;
    recommend_users(asked);
    const Rows rows = read(asked.out);
    ASSERT_EQ(rows.size(), csv.size()) << name;
    for (size_t r = 0; r < rows.size(); ++r) {
      for (size_t c = 0; c < 4; ++c) EXPECT_EQ(rows[r][c], csv[r][c]) << name;
      EXPECT_EQ(std::stof(rows[r][4]), std::stof(csv[r][4])) << name;
    }
  }
  asked.out = root_ / "beam.csv";
  asked.ranker.beam = 50;  // as many as titles: the exact order
  recommend_users(asked);
  const Rows beams = read(asked.out);
  ASSERT_EQ(beams.size(), csv.size());
  for (size_t r = 0; r < csv.size(); ++r) EXPECT_EQ(beams[r][2], csv[r][2]) << r;
}

// Half of the beams' titles at most are found by their spelling; what is new and what rises stands
// among the best all the same.
TEST_F(RecommendUsers, beams_follow_new_items_and_a_trend) {
  fs::copy(root_ / "titles", root_ / "following", fs::copy_options::recursive);
  const fs::path file = root_ / "following/etrlrec.json";
  Json card = read_json(file);
  std::vector<int64_t> times = load_dataset(root_ / "data").times;
  std::sort(times.begin(), times.end());
  card["new_items"] = {
      {"at_once", 0.1}, {"per_day", 0.0}, {"since", times[times.size() / 8]}, {"most_days", 1.0}};
  card["trend"] = {{"half_life_days", 3.0}, {"pseudo_count", 0.01}};
  write_json_atomic(file, OrderedJson(card));
  RankerOptions asked;
  asked.data = root_ / "data";
  asked.model = root_ / "following";
  const auto best_of = [&](int64_t beam, bool trend) {
    asked.beam = beam;
    asked.trend = trend;
    Ranker ranker(asked);
    ranker.load();
    std::vector<std::vector<int32_t>> best;
    std::vector<int32_t> users(ranker.user_ids().size());
    std::iota(users.begin(), users.end(), 0);
    for (const Ranking& ranking : ranker.rank(ranker.requests_of_users(users, 0), 3)) {
      best.emplace_back();
      for (const RankedItem& item : ranking.items) best.back().push_back(item.item);
    }
    return best;
  };
  for (const bool trend : {true, false}) {
    const auto exact = best_of(0, trend), found = best_of(25, trend);
    EXPECT_EQ(found, exact) << trend;
    EXPECT_EQ(exact != best_of(0, false), trend);
  }
}

TEST_F(RecommendUsers, go_on_where_they_were_interrupted) {
  RecommendUsersOptions asked = options("whole.jsonl");
  recommend_users(asked);
  // The same run, killed while it wrote the line of the sixth user.
  asked.out = root_ / "torn.jsonl";
  OrderedJson key = OrderedJson::parse(read_file(root_ / "whole.jsonl.run.json")).at("key");
  std::string part = OrderedJson{{"key", key}}.dump() + "\n";
  const Rows rows = read(root_ / "whole.jsonl");
  const Ranker ranker(asked.ranker);
  const auto& ids = ranker.catalogue().item_ids;
  for (size_t user = 0; user < 5; ++user) {
    part += fmt::format("{{\"user\":\"{}\",\"items\":[", rows[4 * user][0]);
    for (size_t i = 0; i < 4; ++i)
      part += fmt::format("{}[{},{}]", i > 0 ? "," : "",
                          std::find(ids.begin(), ids.end(), rows[4 * user + i][2]) - ids.begin(),
                          rows[4 * user + i][4]);
    part += "]}\n";
  }
  write_file_atomic(root_ / "torn.jsonl.part.jsonl", part + "{\"user\":\"u");
  const RecommendUsersSummary summary = recommend_users(asked);
  EXPECT_EQ(summary.users_now, summary.users - 5);
  const Rows again = read(asked.out);
  ASSERT_EQ(again.size(), rows.size());
  for (size_t r = 0; r < rows.size(); ++r) {
    for (size_t c = 0; c < 4; ++c) EXPECT_EQ(again[r][c], rows[r][c]);
    EXPECT_NEAR(std::stof(again[r][4]), std::stof(rows[r][4]), 1e-5);
  }
  // What is finished is not done again.
  EXPECT_EQ(recommend_users(asked).users_now, 0);
}

TEST_F(RecommendUsers, write_over_nothing_else) {
  RecommendUsersOptions asked = options("kept.csv");
  write_file_atomic(asked.out, "mine\n");
  expect_refused(asked, ExitCode::kUsage, "exists already");
  EXPECT_EQ(read_file(asked.out), "mine\n");
  asked.out = root_ / "other.csv";
  recommend_users(asked);
  asked.k = 3;
  expect_refused(asked, ExitCode::kUsage, "exists already");
  asked.out = root_ / "begun.csv";
  write_file_atomic(root_ / "begun.csv.part.jsonl", "{\"key\":{}}\n");
  expect_refused(asked, ExitCode::kUsage, "begun from other inputs");
}

TEST_F(RecommendUsers, refuse_unknown_endings_and_users) {
  expect_refused(options("all.txt"), ExitCode::kUsage, ".parquet");
  RecommendUsersOptions asked = options("users.csv");
  asked.users = root_ / "named.txt";
  write_file_atomic(asked.users, "u1\nnobody\n");
  expect_refused(asked, ExitCode::kInput, "named.txt:2: unknown user \"nobody\"");
  write_file_atomic(asked.users, "u1\nu2\nu1\n");
  expect_refused(asked, ExitCode::kInput, "named twice");
  write_file_atomic(asked.users, "\n");
  expect_refused(asked, ExitCode::kInput, "found none");
  asked = options("narrow.csv");
  asked.ranker.beam = 3;
  expect_refused(asked, ExitCode::kUsage, "at most the 3 titles");
  asked = options("few.csv");
  asked.ranker.recommender = root_ / "fit/markov";
  asked.num_candidates = 3;
  expect_refused(asked, ExitCode::kUsage, "at most the 3 of --num-candidates");
}

TEST_F(RecommendUsers, a_recommender_alone_ranks_all_unseen_items) {
  RecommendUsersOptions asked = options("markov.csv");
  asked.ranker.model.clear();
  asked.ranker.recommender = root_ / "fit/markov";
  recommend_users(asked);
  const Rows rows = read(asked.out);
  const Ranker ranker(asked.ranker);
  const RankingQuery query{.user = "u5"};
  const auto requests = ranker.requests({&query, 1});
  const std::set<int32_t> seen(requests[0].history.begin(), requests[0].history.end());
  EXPECT_EQ(requests[0].candidates.size(), 50 - seen.size());
  const Ranking all = ranker.rank(requests, 50)[0];
  float sum = 0;
  for (const RankedItem& item : all.items) sum += item.score;
  EXPECT_NEAR(sum, 1, 1e-5);
  EXPECT_GT(all.items[0].score, all.items[10].score);
  const auto row =
      std::find_if(rows.begin(), rows.end(), [](const auto& r) { return r[0] == "u5"; });
  EXPECT_EQ((*row)[2], ranker.catalogue().item_ids[static_cast<size_t>(all.items[0].item)]);

  asked.out = root_ / "none.csv";
  asked.ranker.recommender.clear();
  expect_refused(asked, ExitCode::kUsage, "--recommender");
  asked.ranker.model = root_ / "fit/markov";
  expect_refused(asked, ExitCode::kUsage, "is no language model");
  asked.ranker.model.clear();
  asked.ranker.recommender = root_ / "fit/markov";
  asked.ranker.beam = 10;
  expect_refused(asked, ExitCode::kUsage, "--beam");
}

}  // namespace
}  // namespace etrlrec
