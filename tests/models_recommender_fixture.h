// A log of two users for the tests of recommenders, scores of one history, and a folder that goes
// with its scope.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/io.h"
#include "days.h"
#include "models/recommenders.h"

namespace etrlrec {

// Two users over four items; item 3 never occurs.
inline InteractionLog two_user_log() {
  InteractionLog log;
  log.num_items = 4;
  log.user_offsets = {0, 3, 6};
  log.items = {0, 1, 0, 0, 1, 2};
  log.times = {0, 10 * kDay, 20 * kDay, 5 * kDay, 15 * kDay, 30 * kDay};
  return log;
}

inline std::vector<double> scores_of(const Recommender& model, std::vector<int32_t> items,
                                     int64_t now) {
  const std::vector<int64_t> times(items.size(), 0);
  const HistoryView view{items, times, now};
  const at::Tensor scores = model.score({&view, 1});
  EXPECT_EQ(scores.sizes(), (std::vector<int64_t>{1, model.num_items()}));
  std::vector<double> values;
  for (int64_t i = 0; i < scores.size(1); ++i) values.push_back(scores[0][i].item<double>());
  return values;
}

class ScopedFolder {
 public:
  explicit ScopedFolder(const std::string& name)
      : path_(fs::temp_directory_path() / fmt::format("etrlrec-{}-{}", name, ::getpid())) {
    fs::remove_all(path_);
    fs::create_directories(path_);
  }
  ~ScopedFolder() { fs::remove_all(path_); }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

// Saves a model of the small log, loads it again and compares the scores.
inline void expect_round_trip(const char* name, const OptionValues& given) {
  const ScopedFolder folder(name);
  const auto model = recommender_type(name).count(two_user_log(), given);
  model->save(folder.path());
  const auto loaded = load_recommender(folder.path());
  EXPECT_EQ(loaded->name(), name);
  EXPECT_EQ(scores_of(*model, {0, 1}, 25 * kDay), scores_of(*loaded, {0, 1}, 25 * kDay));
}

}  // namespace etrlrec
