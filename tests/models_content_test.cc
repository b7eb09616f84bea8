#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/check.h"
#include "models/content.h"
#include "models_recommender_fixture.h"
#include "nn/safetensors.h"

namespace etrlrec {
namespace {

// Items 0 and 2 are alike, and so are 1 and 3.
InteractionLog described_log() {
  InteractionLog log = two_user_log();
  log.item_embeddings = at::tensor({1.f, 0.f, 0.f, 1.f, .8f, .6f, .6f, .8f}).view({4, 2});
  return log;
}

TEST(Content, scores_are_log_probabilities_of_the_cosine_with_what_came_last) {
  const auto model = kContent.count(described_log(), {});
  const auto scores = scores_of(*model, {0}, 0);
  double sum = 0;
  for (const double score : scores) sum += std::exp(score);
  EXPECT_NEAR(sum, 1, 1e-5);
  EXPECT_GT(scores[0], scores[2]);
  EXPECT_GT(scores[2], scores[3]);
  EXPECT_GT(scores[3], scores[1]);
  // The same scale everywhere: cosines with item 0 are 1, 0, .8, .6.
  const double scale = scores[0] - scores[1];
  EXPECT_NEAR(scores[2] - scores[1], .8 * scale, 1e-5);
  EXPECT_NEAR(scores[3] - scores[1], .6 * scale, 1e-5);
  const auto nothing = scores_of(*model, {}, 0);
  for (const double score : nothing) EXPECT_NEAR(score, std::log(0.25), 1e-6);
}

// Users who go on with what is like the item before teach a greater scale than those who do not.
TEST(Content, the_scale_is_what_makes_the_log_likely) {
  const auto span_of = [](const std::vector<int32_t>& items) {
    InteractionLog log = described_log();
    log.user_offsets = {0, std::ssize(items)};
    log.items = items;
    log.times.assign(items.size(), 0);
    const auto scores = scores_of(*kContent.count(log, {}), {0}, 0);
    return scores[0] - scores[1];
  };
  EXPECT_GT(span_of({0, 0, 0, 0, 0, 0}), 20);
  EXPECT_LT(span_of({0, 1, 0, 1, 0, 1, 0}), 2);
}

TEST(Content, comes_back_from_its_folder_and_needs_embeddings) {
  const ScopedFolder folder("content");
  const auto model = kContent.count(described_log(), {});
  model->save(folder.path());
  const auto loaded = load_recommender(folder.path());
  EXPECT_EQ(scores_of(*model, {0, 3}, 0), scores_of(*loaded, {0, 3}, 0));
  EXPECT_THROW(kContent.count(two_user_log(), {}), Error);
  InteractionLog other = described_log();
  other.item_embeddings = at::ones({3, 2});
  EXPECT_THROW(kContent.count(other, {}), Error);
  ParameterMap tensors = load_safetensors(folder.path() / "model.safetensors");
  tensors["embeddings"] = at::full({4, 2}, INFINITY);
  save_safetensors(tensors, folder.path() / "model.safetensors");
  EXPECT_THROW(load_recommender(folder.path()), Error);
}

}  // namespace
}  // namespace etrlrec
