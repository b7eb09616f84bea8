// Caches whose rows come, go and multiply: what they continue equals the full forward pass.
#include <gtest/gtest.h>

#include "base/check.h"
#include "models/llm.h"
#include "models_fixture.h"

namespace etrlrec {
namespace {

// Texts that grow in a cache, and their hidden states in one pass.
struct GrowingRows {
  const Llm& model;
  std::vector<std::vector<int64_t>> prompts, texts;  // of each row

  at::Tensor expected(size_t row) const {
    TokenForest forest;
    std::vector<int64_t> whole = prompts[row];
    whole.insert(whole.end(), texts[row].begin(), texts[row].end());
    forest.add(-1, whole);
    return model.hidden_states(forest)[forest.num_tokens() - 1];
  }
};

TEST(KvCacheRows, enter_a_running_cache_as_if_it_were_new) {
  const at::NoGradGuard no_grad;
  for (const LlmConfig& config : small_families()) {
    SCOPED_TRACE(config.model_type);
    const auto model = new_llm(config, 1);
    GrowingRows rows{*model, {}, {}};
    const auto cache = model->new_cache(6, 20);
    at::Tensor hidden;
    Rng rng(6, "admission");
    for (int64_t t = 0; t < 60; ++t) {
      std::vector<int64_t> kept;  // old rows leave, at least one place gets free
      for (int64_t r = 0; r < cache->num_rows(); ++r)
        if (rows.texts[static_cast<size_t>(r)].size() < 4 + rng.below(12)) kept.push_back(r);
      GrowingRows left{*model, {}, {}};
      for (int64_t r : kept) {
        left.prompts.push_back(rows.prompts[static_cast<size_t>(r)]);
        left.texts.push_back(rows.texts[static_cast<size_t>(r)]);
      }
      cache->keep_rows(kept);
      rows.prompts = left.prompts;
      rows.texts = left.texts;
      if (cache->num_rows() <= 4) {  // one prompt for two rows, one longer than all before
        TokenForest prompts;
        prompts.add(-1, random_ids(3 + t, 100 + static_cast<uint64_t>(t)));
        const std::vector<int64_t> roots{0, 0};
        at::Tensor last;
        model->admit(*cache, prompts, roots, last);
        for (int i = 0; i < 2; ++i) {
          rows.prompts.push_back(prompts.ids);
          rows.texts.push_back({});
        }
        EXPECT_LT(largest_difference(last[0], rows.expected(rows.texts.size() - 1)), 1e-4);
      }
      std::vector<int64_t> ids;
      for (auto& text : rows.texts) {
        text.push_back(static_cast<int64_t>(rng.below(61)));
        ids.push_back(text.back());
      }
      hidden = model->decode(*cache, ids);
      for (size_t r = 0; r < ids.size(); ++r)
        ASSERT_LT(largest_difference(hidden[static_cast<int64_t>(r)], rows.expected(r)), 1e-4)
            << t << " " << r;
    }
  }
}

TEST(KvCacheRows, kept_twice_part_ways) {
  const at::NoGradGuard no_grad;
  for (const LlmConfig& config : small_families()) {
    SCOPED_TRACE(config.model_type);
    const auto model = new_llm(config, 1);
    TokenForest prompts;
    prompts.add(-1, random_ids(9, 1));
    prompts.add(-1, random_ids(14, 2));
    const std::vector<int64_t> roots{0, 0, 1, 1};
    at::Tensor hidden;
    const auto cache = model->prefill(prompts, roots, 24, hidden);
    GrowingRows rows{*model, {}, std::vector<std::vector<int64_t>>(4)};
    for (int64_t root : roots)
      rows.prompts.push_back(random_ids(root == 0 ? 9 : 14, root == 0 ? 1 : 2));
    Rng rng(6, "beams");
    for (int64_t t = 0; t < 24; ++t) {
      std::vector<int64_t> kept, ids;
      GrowingRows next{*model, {}, {}};
      for (int i = 0; i < 4; ++i) {
        kept.push_back(static_cast<int64_t>(rng.below(4)));
        ids.push_back(static_cast<int64_t>(rng.below(61)));
        next.prompts.push_back(rows.prompts[static_cast<size_t>(kept.back())]);
        next.texts.push_back(rows.texts[static_cast<size_t>(kept.back())]);
        next.texts.back().push_back(ids.back());
      }
      cache->keep_rows(kept);
      hidden = model->decode(*cache, ids);
      rows.prompts = next.prompts;
      rows.texts = next.texts;
      for (size_t r = 0; r < 4; ++r)
        ASSERT_LT(largest_difference(hidden[static_cast<int64_t>(r)], rows.expected(r)), 1e-4)
            << t << " " << r;
    }
  }
}

TEST(KvCacheRows, do_not_enter_a_full_cache) {
  const auto model = new_llm(small_config(), 1);
  const auto cache = model->new_cache(2, 3);
  TokenForest prompts;
  prompts.add(-1, random_ids(4, 1));
  at::Tensor last;
  const std::vector<int64_t> three{0, 0, 0}, two{0, 0}, one{0}, tokens{1, 2};
  EXPECT_THROW(model->admit(*cache, prompts, three, last), Error);
  model->admit(*cache, prompts, two, last);
  EXPECT_THROW(model->admit(*cache, prompts, one, last), Error);
  EXPECT_THROW(cache->keep_rows(three), Error);
  cache->keep_rows(one);
  EXPECT_NO_THROW(model->admit(*cache, prompts, one, last));
  EXPECT_EQ(model->decode(*cache, tokens).size(0), 2);
  EXPECT_THROW(model->new_cache(1, -1), Error);
}

}  // namespace
}  // namespace etrlrec
