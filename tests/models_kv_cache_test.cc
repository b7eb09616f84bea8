// Caches whose rows come, go and multiply: what they continue equals the full forward pass.
#include <gtest/gtest.h>

#include "base/check.h"
#include "models/decoder.h"
#include "models_fixture.h"
#include "nn/weight.h"
#include "tuning/optim.h"

namespace etrlrec {
namespace {

bool is_rounded(const LanguageModel& model) {
  return is_frozen_type(model.parameters().at("model.embed_tokens.weight"));
}

std::string description(const LanguageModel& model) {
  return model.type() + (is_rounded(model) ? ", bfloat16" : ", fp32");
}

// All families in fp32, and where the machine rounds also with frozen bfloat16 weights and heads
// whose keys and values are kept so.
std::vector<std::unique_ptr<LanguageModel>> cached_models() {
  std::vector<std::unique_ptr<LanguageModel>> models;
  for (const LlmConfig& config : small_families()) models.push_back(new_decoder(config, 1));
  if (best_arithmetic() == Arithmetic::kFloat) return models;
  for (LlmConfig config : small_families()) {
    config.head_dim = 32;
    models.push_back(new_decoder(config, 1));
    for (auto& [name, tensor] : models.back()->parameters())
      if (tensor.dim() == 2) tensor = tensor.to(at::kBFloat16);
    EXPECT_EQ(2 * models.back()->key_value_bytes(), config.key_value_bytes());
  }
  return models;
}

// A key in a wrong place changes states by their own size.
::testing::AssertionResult agree(const LanguageModel& model, const at::Tensor& found,
                                 const at::Tensor& expected) {
  const double difference = is_rounded(model) ? relative_difference(found, expected)
                                              : largest_difference(found, expected);
  if (difference < (is_rounded(model) ? 0.05 : 1e-4)) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "they differ by " << difference;
}

// Texts that grow in a cache, and their hidden states in one pass.
struct GrowingRows {
  const LanguageModel& model;
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
  for (const auto& model : cached_models()) {
    SCOPED_TRACE(description(*model));
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
        EXPECT_TRUE(agree(*model, last[0], rows.expected(rows.texts.size() - 1)));
      }
      std::vector<int64_t> ids;
      for (auto& text : rows.texts) {
        text.push_back(static_cast<int64_t>(rng.below(61)));
        ids.push_back(text.back());
      }
      hidden = model->decode(*cache, ids);
      for (size_t r = 0; r < ids.size(); ++r)
        ASSERT_TRUE(agree(*model, hidden[static_cast<int64_t>(r)], rows.expected(r)))
            << t << " " << r;
    }
  }
}

TEST(KvCacheRows, kept_twice_part_ways) {
  const at::NoGradGuard no_grad;
  for (const auto& model : cached_models()) {
    SCOPED_TRACE(description(*model));
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
        ASSERT_TRUE(agree(*model, hidden[static_cast<int64_t>(r)], rows.expected(r)))
            << t << " " << r;
    }
  }
}

// A tree of prompts below two roots; segments longer and shorter than a block of keys.
TokenForest prompt_tree() {
  TokenForest prompts;
  prompts.add(-1, random_ids(37, 1));
  prompts.add(0, random_ids(5, 2));
  prompts.add(0, random_ids(150, 3));
  prompts.add(2, random_ids(1, 4));
  prompts.add(-1, random_ids(3, 5));
  prompts.add(4, random_ids(16, 6));
  return prompts;
}

std::vector<int64_t> path_to(const TokenForest& forest, int64_t segment) {
  std::vector<int64_t> path;
  for (int64_t s = segment; s >= 0; s = forest.segments[s].parent)
    path.insert(path.begin(), forest.ids.begin() + forest.segments[s].begin,
                forest.ids.begin() + forest.segments[s].end);
  return path;
}

// Feeds random tokens and compares with the full forward pass.
void expect_rows_continue(const LanguageModel& model, KvCache& cache, GrowingRows rows,
                          uint64_t index) {
  Rng rng(6, "growth", index);
  for (int64_t t = 0; t < 12; ++t) {
    std::vector<int64_t> ids;
    for (auto& text : rows.texts) {
      text.push_back(static_cast<int64_t>(rng.below(61)));
      ids.push_back(text.back());
    }
    const at::Tensor hidden = model.decode(cache, ids);
    for (size_t r = 0; r < ids.size(); ++r)
      ASSERT_TRUE(agree(model, hidden[static_cast<int64_t>(r)], rows.expected(r))) << t << " " << r;
  }
}

TEST(KvCachePrompts, of_a_tree_are_continued_as_whole_rows) {
  const at::NoGradGuard no_grad;
  for (const auto& model : cached_models()) {
    SCOPED_TRACE(description(*model));
    const TokenForest prompts = prompt_tree();
    const std::vector<int64_t> segments{3, 0, 1, 5, 1, 4, 2};
    at::Tensor last;
    const auto cache = model->prefill(prompts, segments, 12, last);
    GrowingRows rows{*model, {}, std::vector<std::vector<int64_t>>(segments.size())};
    for (int64_t s : segments) rows.prompts.push_back(path_to(prompts, s));
    for (size_t r = 0; r < segments.size(); ++r)
      EXPECT_TRUE(agree(*model, last[segments[r]], rows.expected(r)));
    expect_rows_continue(*model, *cache, rows, 1);
  }
}

// A later prompt stands below the first tokens of what was computed before, three spans deep.
TEST(KvCachePrompts, begin_with_what_is_known) {
  const at::NoGradGuard no_grad;
  for (const auto& model : cached_models()) {
    SCOPED_TRACE(description(*model));
    const TokenForest before = prompt_tree();
    std::vector<SharedPromptKeys> keys(before.segments.size());
    at::Tensor last;
    {
      const auto cache = model->new_cache(1, 0);
      model->admit(*cache, before, std::vector<int64_t>{3}, last, keys);
    }
    for (size_t s = 0; s < keys.size(); ++s)
      EXPECT_EQ(keys[s]->num_tokens(), before.segments[s].end - before.segments[s].begin);
    const std::vector<int64_t> third = random_ids(150, 3);
    const std::span<const int64_t> beginning = std::span(third).first(43);
    TokenForest later;
    later.add(-1, random_ids(37, 1));  // known
    later.add(0, beginning);           // known, only its beginning
    later.add(1, random_ids(40, 7));   // three below it
    later.add(2, random_ids(2, 8));
    later.add(1, random_ids(1, 9));
    later.add(0, random_ids(70, 10));
    later.add(-1, random_ids(20, 11));  // nothing of it is known
    std::vector<SharedPromptKeys> known{keys[0], keys[2], {}, {}, {}, {}, {}};
    const std::vector<int64_t> segments{3, 2, 4, 5, 6, 4};
    const auto cache = model->new_cache(8, 12);
    model->admit(*cache, later, segments, last, known);
    GrowingRows rows{*model, {}, std::vector<std::vector<int64_t>>(segments.size())};
    for (int64_t s : segments) rows.prompts.push_back(path_to(later, s));
    for (size_t r = 0; r < segments.size(); ++r)
      EXPECT_TRUE(agree(*model, last[segments[r]], rows.expected(r))) << r;
    EXPECT_EQ(last[0].abs().max().item<float>(), 0);
    expect_rows_continue(*model, *cache, rows, 2);
    // What was just computed is known in turn, while the rows go on.
    TokenForest last_one = later;
    last_one.add(3, random_ids(9, 12));
    std::vector<SharedPromptKeys> all = known;
    all.push_back({});
    cache->keep_rows(std::vector<int64_t>{1});
    const auto fresh = model->new_cache(1, 12);
    model->admit(*fresh, last_one, std::vector<int64_t>{7}, last, all);
    expect_rows_continue(*model, *fresh, {*model, {path_to(last_one, 7)}, {{}}}, 3);
  }
}

TEST(KvCachePrompts, refuse_keys_that_do_not_fit) {
  const auto model = new_decoder(small_config(), 1);
  LlmConfig deeper = small_config();
  deeper.num_hidden_layers = 3;
  const auto other = new_decoder(deeper, 1);
  const TokenForest prompts = prompt_tree();
  std::vector<SharedPromptKeys> keys(prompts.segments.size());
  const std::vector<int64_t> row{3};
  at::Tensor last;
  model->admit(*model->new_cache(1, 0), prompts, row, last, keys);
  const auto refuses = [&](const LanguageModel& with, std::vector<SharedPromptKeys> known,
                           int64_t segment) {
    const auto cache = with.new_cache(1, 0);
    const std::vector<int64_t> rows{segment};
    EXPECT_THROW(with.admit(*cache, prompts, rows, last, known), Error);
    EXPECT_EQ(cache->num_rows(), 0);
  };
  refuses(*model, {keys[0]}, 3);                      // not one for each segment
  refuses(*model, {keys[0], {}, {}, {}, {}, {}}, 0);  // no hidden state to go on from
  refuses(*model, {{}, keys[1], {}, {}, {}, {}}, 3);  // known below what is not
  refuses(*model, {keys[1], {}, {}, {}, {}, {}}, 3);  // of fewer tokens
  refuses(*other, {keys[0], {}, {}, {}, {}, {}}, 3);  // of another model
}

TEST(ModelStamp, differs_where_results_may_differ) {
  const at::NoGradGuard no_grad;
  const auto model = new_decoder(small_config(), 1), twin = new_decoder(small_config(), 1);
  const ModelStamp first = model->stamp();
  EXPECT_EQ(first, model->stamp());
  EXPECT_FALSE(first == twin->stamp());
  EXPECT_FALSE(first == ModelStamp());
  model->parameters().at("model.norm.weight").mul_(2);
  const ModelStamp changed = model->stamp();
  EXPECT_FALSE(first == changed);
  model->adapters().attach({4, 8, {}}, 3);
  const ModelStamp adapted = model->stamp();
  EXPECT_FALSE(changed == adapted);
  model->adapters().set_enabled(false);
  EXPECT_FALSE(adapted == model->stamp());
  model->adapters().set_enabled(true);
  EXPECT_EQ(adapted, model->stamp());
  model->adapters().attach({4, 8, {}}, 4, "second");
  EXPECT_FALSE(adapted == model->stamp());
  model->adapters().select("default");
  EXPECT_EQ(adapted, model->stamp());
  auto& norm = model->parameters().at("model.norm.weight");
  norm = norm.clone();
  EXPECT_FALSE(adapted == model->stamp());
}

TEST(ModelStamp, sees_the_optimiser) {
  const auto model = new_decoder(small_config(), 1);
  TokenForest text;
  text.add(-1, random_ids(5, 1));
  model->hidden_states(text).sum().backward();
  const ModelStamp before = model->stamp();
  for (const char* name : {"adamw", "sgd", "lion"}) {
    OptimizerOptions options;
    options.optim = name;
    const ModelStamp last = model->stamp();
    Optimizer(model->parameters(), options).step(1e-3);
    EXPECT_FALSE(last == model->stamp()) << name;
  }
}

TEST(KvCacheRows, do_not_enter_a_full_cache) {
  const auto model = new_decoder(small_config(), 1);
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
