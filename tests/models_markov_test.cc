#include <gtest/gtest.h>

#include <cmath>

#include "base/check.h"
#include "models/markov.h"
#include "models_recommender_fixture.h"
#include "nn/safetensors.h"

namespace etrlrec {
namespace {

TEST(Markov, smooths_transitions_towards_popularity) {
  const auto model = kMarkov.count(two_user_log(), {{"smoothing", 2.0}});
  const auto scores = scores_of(*model, {1, 0}, 0);  // 0 -> 1 twice
  EXPECT_NEAR(scores[1], std::log((2 + 2 * 0.3) / 4), 1e-6);
  EXPECT_NEAR(scores[3], std::log((2 * 0.1) / 4), 1e-6);
  const auto first = scores_of(*model, {}, 0);
  EXPECT_NEAR(first[0], std::log(0.4), 1e-6);
}

TEST(Markov, comes_back_from_its_folder) { expect_round_trip("markov", {{"smoothing", 4.0}}); }

TEST(Markov, refuses_bad_options_and_damaged_folders) {
  EXPECT_THROW(kMarkov.count(two_user_log(), {{"smoothing", 0.0}}), Error);
  const ScopedFolder folder("damaged-markov");
  kMarkov.count(two_user_log(), {})->save(folder.path());
  const fs::path file = folder.path() / "model.safetensors";
  const ParameterMap good = load_safetensors(file);
  ParameterMap bad = good;
  bad["next"] = at::full_like(good.at("next"), 9);
  save_safetensors(bad, file);
  EXPECT_THROW(load_recommender(folder.path()), Error);
  bad = good;
  bad["offsets"] = good.at("offsets") + 1;
  save_safetensors(bad, file);
  EXPECT_THROW(load_recommender(folder.path()), Error);
}

}  // namespace
}  // namespace etrlrec
