// Every finding of the audit, each produced by damage to an artefact. The hashes of the damaged
// files are right, as a faulty program would have written them.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <limits>

#include "base/check.h"
#include "base/io.h"
#include "base/log.h"
#include "data/candidate_file.h"
#include "data/split.h"
#include "data/synthetic.h"
#include "method/audit.h"

namespace etrlrec {
namespace {

constexpr int32_t kCount = 6;

class Audit : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    set_log_options({.quiet = true, .progress = false});
    root_ = fs::temp_directory_path() / fmt::format("etrlrec_audit_{}", ::getpid());
    fs::create_directories(root_ / "data");
    dataset_ = make_world({.users = 120, .items = 80, .mean_events = 12}).dataset;
    split_ = split_dataset(dataset_, {});
    split_.train.resize(150);
    split_.valid.resize(20);
    save_dataset(dataset_, split_, root_ / "data");
    for (const auto& [part, rows] : {std::pair{"train", &split_.train}, {"valid", &split_.valid}})
      save(draw(*rows), root_ / "data", part);
  }
  static void TearDownTestSuite() { fs::remove_all(root_); }

  static CandidateSet draw(const std::vector<Row>& rows) {
    return draw_candidates(dataset_, split_, rows, {.count = kCount});
  }
  static void save(CandidateSet set, const fs::path& folder, const std::string& part) {
    set.hash = candidate_hash(set);
    save_candidates(set, dataset_, folder / ("candidates-" + part + ".jsonl"));
  }
  static AuditReport audit_with(const CandidateSet& set, const std::string& part) {
    const fs::path folder = root_ / "damaged";
    fs::remove_all(folder);
    fs::copy(root_ / "data", folder);
    save(set, folder, part);
    return audit({folder, ""});
  }
  static void expect(const AuditReport& report, const std::string& kind, int64_t count) {
    EXPECT_EQ(report.counts, (std::map<std::string, int64_t>{{kind, count}}));
  }
  // Slot of a negative of row 0, the `number`-th.
  static size_t negative(const CandidateSet& set, size_t number) {
    return number + (number >= static_cast<size_t>(set.slots[0]));
  }

  static fs::path root_;
  static Dataset dataset_;
  static Split split_;
};
fs::path Audit::root_;
Dataset Audit::dataset_;
Split Audit::split_;

TEST_F(Audit, finds_nothing_in_what_prepare_would_write) {
  EXPECT_EQ(audit({root_ / "data", ""}).total(), 0);
}

TEST_F(Audit, finds_a_candidate_that_stands_twice) {
  CandidateSet set = draw(split_.train);
  set.items[negative(set, 0)] = set.items[negative(set, 1)];
  expect(audit_with(set, "train"), "candidates", 1);
}

TEST_F(Audit, finds_a_negative_that_the_user_has_seen) {
  CandidateSet set = draw(split_.train);
  set.items[negative(set, 0)] = dataset_.items[set.rows[0].position - 1];
  expect(audit_with(set, "train"), "candidates", 1);
}

TEST_F(Audit, finds_targets_that_prefer_a_slot) {
  CandidateSet set = draw(split_.train);
  for (size_t r = 0; r < set.rows.size(); ++r) {
    std::swap(set.items[r * kCount], set.items[r * kCount + set.slots[r]]);
    set.slots[r] = 0;
  }
  expect(audit_with(set, "train"), "slots", kCount);  // the first is too full, the others empty
}

TEST_F(Audit, finds_rows_of_another_part) {
  expect(audit_with(draw(split_.valid), "train"), "split", std::ssize(split_.valid));
  expect(audit_with(draw(split_.train), "test"), "split", std::ssize(split_.train));
}

TEST_F(Audit, finds_statistics_that_saw_more_than_the_training_part) {
  Study study = open_study(root_ / "data");
  study.statistics.item_count[3] += 1;
  expect(audit(study, split_, ""), "statistics", 1);
  study = open_study(root_ / "data");
  study.statistics.train_end_time = dataset_.times.back() + 1;
  expect(audit(study, split_, ""), "statistics", 1);
}

TEST_F(Audit, finds_requests_that_are_not_those_of_their_rows) {
  const Study study = open_study(root_ / "data");
  const CandidateSet set = study.candidates("train");
  const auto row = static_cast<int64_t>(
      std::find_if(
          set.rows.begin(), set.rows.end(),
          [](const Row& one) { return one.position - dataset_.user_offsets[one.user] >= 2; }) -
      set.rows.begin());
  const auto finds = [&](const char* kind, const std::function<void(Request&)>& damage) {
    Request request = make_request(study.dataset, set, row, std::numeric_limits<int32_t>::max());
    damage(request);
    AuditReport report;
    audit_request(study, set.rows[static_cast<size_t>(row)], request, {.max_history = 100}, report);
    EXPECT_EQ(report.counts.contains(kind), *kind != 0) << kind;
    EXPECT_EQ(report.total(), *kind != 0) << kind;
  };
  finds("", [](Request&) {});
  finds("history", [](Request& request) {
    request.history.pop_back();
    request.times.pop_back();
  });
  finds("history", [](Request& request) { request.times.back() = request.now + 1; });
  // The target is a candidate, but in another slot, where it counts as a negative.
  finds("candidates",
        [](Request& request) { request.target_slot = (request.target_slot + 1) % kCount; });
}

// What the audit cannot reach, since reading the files refuses it.
TEST_F(Audit, cannot_be_asked_about_files_that_contradict_themselves) {
  CandidateSet set = draw(split_.train);
  set.slots[0] = (set.slots[0] + 1) % kCount;
  EXPECT_THROW(audit_with(set, "train"), Error);  // the marked slot is not the target
  Dataset unordered = dataset_;
  std::swap(unordered.times[0], unordered.times[1]);
  ASSERT_NE(unordered.times[0], unordered.times[1]);
  EXPECT_THROW(save_dataset(unordered, split_, root_ / "unordered"), Error);
}

}  // namespace
}  // namespace etrlrec
