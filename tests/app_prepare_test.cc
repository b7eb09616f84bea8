#include <gtest/gtest.h>
#include <unistd.h>

#include "app/command.h"
#include "app/command_line.h"
#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "data/candidate_file.h"
#include "data/candidates.h"
#include "data/dataset.h"
#include "data/synthetic.h"
#include "data/world_file.h"

namespace etrlrec {

void add_prepare(CommandLine& app, CommonOptions& common);
void add_inspect(CommandLine& app, CommonOptions& common);

namespace {

class Prepare : public testing::Test {
 protected:
  void SetUp() override {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::temp_directory_path() /
              (std::string("etrlrec_prepare_") + info->name() + std::to_string(getpid()));
    fs::create_directories(folder_);
    std::string log = "cust,sku,ts\n", items = "sku,name,kind\n";
    for (int i = 0; i < 30; ++i) items += fmt::format("s{},Item {},k{}|all\n", i, i, i % 3);
    for (int u = 0; u < 20; ++u) {
      for (int k = 0; k < 10; ++k) {
        log += fmt::format("u{},s{},{}\n", u, (7 * u + 3 * k) % 30, 1000000 + 1000 * k + u);
      }
    }
    write_file_atomic(folder_ / "log.csv", log + "u1,,5\nu1,s2\n");
    write_file_atomic(folder_ / "items.csv", items);
  }
  void TearDown() override { fs::remove_all(folder_); }

  // Runs `prepare` with --out appended.
  void prepare(std::vector<std::string> arguments) {
    CommandLine app("test", "");
    CommonOptions common;
    add_prepare(app, common);
    arguments.insert(arguments.begin(), "prepare");
    arguments.insert(arguments.end(), {"--out", out().string()});
    app.run(arguments);
  }
  std::vector<std::string> log_arguments(std::vector<std::string> more = {}) const {
    std::vector<std::string> all = {
        "--input", (folder_ / "log.csv").string(), "--items", (folder_ / "items.csv").string(),
        "--map",   "user=cust,item=sku,time=ts",   "--title", "name"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  fs::path out() const { return folder_ / "out"; }
  fs::path folder_;
};

TEST_F(Prepare, writes_a_folder_that_loads_with_its_candidates) {
  prepare(log_arguments({"--attributes", "kind", "--num-candidates", "5"}));
  const Dataset dataset = load_dataset(out());
  EXPECT_EQ(dataset.num_users(), 20);
  EXPECT_EQ(dataset.num_interactions(), 200);
  EXPECT_EQ(dataset.catalogue.attributes.size(), 4u);
  const Split split = load_split(out());
  for (const char* part : {"train", "valid", "test"}) {
    const auto path = out() / fmt::format("candidates-{}.jsonl", part);
    EXPECT_EQ(load_candidates(path, dataset).options.count, 5) << part;
  }
  EXPECT_EQ(load_candidates(out() / "candidates-test.jsonl", dataset).rows.size(),
            split.test.size());
  EXPECT_TRUE(fs::exists(out() / "run.json"));
}

TEST_F(Prepare, reports_rejected_rows_in_file_and_summary) {
  prepare(log_arguments({"--num-candidates", "5"}));
  const Json json = read_json(out() / "prepare.json");
  EXPECT_EQ(json["rejected"], 2);
  EXPECT_EQ(json["columns"]["user"], "cust");
  const std::string rejected = read_file(out() / "rejected.tsv");
  EXPECT_NE(rejected.find("log.csv\t202\tempty item id"), std::string::npos) << rejected;
  EXPECT_NE(rejected.find("log.csv\t203\texpected 3 fields, found 2\tu1,s2"), std::string::npos);
}

TEST_F(Prepare, same_options_give_the_same_files) {
  prepare(log_arguments({"--num-candidates", "5", "--split", "user-ratio"}));
  const std::string first = read_file(out() / "candidates-train.jsonl");
  prepare(log_arguments({"--num-candidates", "5", "--split", "user-ratio", "--replace"}));
  EXPECT_EQ(read_file(out() / "candidates-train.jsonl"), first);
}

TEST_F(Prepare, training_candidates_can_be_limited_or_left_out) {
  prepare(log_arguments({"--num-candidates", "5", "--train-candidates", "7"}));
  const Dataset dataset = load_dataset(out());
  const auto set = load_candidates(out() / "candidates-train.jsonl", dataset);
  EXPECT_EQ(set.rows.size(), 7u);
  for (const Row& row : set.rows) EXPECT_GE(row.position - dataset.user_offsets[row.user], 3);
  prepare(log_arguments({"--num-candidates", "5", "--train-candidates", "0", "--replace"}));
  EXPECT_FALSE(fs::exists(out() / "candidates-train.jsonl"));
}

TEST_F(Prepare, validation_and_test_candidates_can_be_limited_too) {
  prepare(log_arguments({"--num-candidates", "5", "--valid-candidates", "0", "--test-candidates",
                         "6", "--min-test-history", "9"}));
  EXPECT_FALSE(fs::exists(out() / "candidates-valid.jsonl"));
  const Dataset dataset = load_dataset(out());
  const auto set = load_candidates(out() / "candidates-test.jsonl", dataset);
  EXPECT_EQ(set.rows.size(), 6u);
  for (size_t r = 0; r < set.rows.size(); ++r) {
    EXPECT_GE(set.rows[r].position - dataset.user_offsets[set.rows[r].user], 9);
    if (r > 0) {
      EXPECT_LT(set.rows[r - 1].position, set.rows[r].position);
    }
  }
}

TEST_F(Prepare, builds_the_synthetic_world_with_its_rules) {
  prepare({"--format", "synthetic", "--users", "60", "--num-items", "120"});
  EXPECT_EQ(load_dataset(out()).num_users(), 60);
  EXPECT_EQ(load_world(out()).item_genre.size(), 120u);
}

TEST_F(Prepare, refuses_options_that_cannot_have_an_effect) {
  EXPECT_THROW(prepare(log_arguments({"--users", "60"})), Error);
  EXPECT_THROW(prepare({"--format", "synthetic", "--title", "name"}), Error);
  EXPECT_THROW(prepare({"--format", "synthetic", "--k-core", "5"}), Error);
  EXPECT_THROW(prepare({}), Error);
}

TEST_F(Prepare, refuses_bad_cuts_ratings_and_mappings) {
  EXPECT_THROW(prepare(log_arguments({"--valid", "tomorrow"})), Error);
  EXPECT_THROW(prepare(log_arguments({"--valid", "1970-01-12"})), Error);
  EXPECT_THROW(prepare(log_arguments({"--min-rating", "3"})), Error);
  EXPECT_THROW(prepare(log_arguments({"--map", "user"})), Error);
  EXPECT_THROW(prepare(log_arguments({"--num-candidates", "31"})), Error);
  EXPECT_THROW(prepare(log_arguments({"--split", "random"})), Error);
  EXPECT_FALSE(fs::exists(out())) << "a failed command leaves no folder";
}

TEST_F(Prepare, strict_stops_at_bad_rows) {
  EXPECT_THROW(prepare(log_arguments({"--strict"})), Error);
}

TEST_F(Prepare, does_not_touch_an_existing_folder_unless_told_to) {
  prepare(log_arguments({"--num-candidates", "5"}));
  EXPECT_THROW(prepare(log_arguments({"--num-candidates", "5"})), Error);
  EXPECT_NO_THROW(load_dataset(out()));
}

TEST_F(Prepare, inspect_reads_the_folder_back) {
  prepare(log_arguments({"--num-candidates", "5"}));
  CommandLine app("test", "");
  CommonOptions common;
  common.json = true;
  add_inspect(app, common);
  testing::internal::CaptureStdout();
  app.run({"inspect", out().string()});
  const Json json = Json::parse(testing::internal::GetCapturedStdout());
  EXPECT_EQ(json["users"], 20);
  EXPECT_EQ(json["history_length"]["median"], 10);
  EXPECT_FALSE(json["advice"].empty());
}

}  // namespace
}  // namespace etrlrec
