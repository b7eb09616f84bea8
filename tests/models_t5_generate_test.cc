// Cached decoding of T5 against the full forward pass, generation against golden files of
// Transformers, beam search against enumeration.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "base/json.h"
#include "models/t5_generate.h"
#include "models_t5_fixture.h"
#include "nn/safetensors.h"

namespace etrlrec {
namespace {

StateRows encode(const T5& model, const TokenForest& rows) {
  const at::NoGradGuard no_grad;
  return model.encode(rows);
}

// ---- golden files

struct Golden {
  explicit Golden(const std::string& name)
      : model(load_t5(kT5Golden / name)), json(read_json(kT5Golden / name / "golden.json")) {
    const ParameterMap tensors = load_safetensors(kT5Golden / name / "golden.safetensors");
    encoded = encode(*model, pack_rows(tensors.at("input_ids"), tensors.at("attention_mask")));
  }
  std::unique_ptr<T5> model;
  Json json;
  StateRows encoded;
};

// Golden rows begin with the start token and are filled behind their end.
std::vector<int64_t> new_tokens(const Json& sequence, const std::vector<int64_t>& ends) {
  std::vector<int64_t> out;
  for (size_t t = 1; t < sequence.size(); ++t) {
    out.push_back(sequence[t].get<int64_t>());
    if (std::find(ends.begin(), ends.end(), out.back()) != ends.end()) break;
  }
  return out;
}

void expect_greedy(const Golden& golden, const char* key) {
  const Json& expected = golden.json.at(key);
  std::vector<int64_t> ends;
  if (!expected.at("eos_token_id").is_null()) ends = {expected.at("eos_token_id").get<int64_t>()};
  const auto found = generate_greedy(*golden.model, golden.encoded, 24, ends);
  ASSERT_EQ(found.size(), 3u);
  for (size_t r = 0; r < found.size(); ++r)
    EXPECT_EQ(found[r], new_tokens(expected.at("sequences")[r], ends)) << key << " " << r;
}

void expect_beams(const Golden& golden) {
  const Json& expected = golden.json.at("beam");
  T5BeamOptions options;
  options.num_beams = expected.at("num_beams").get<int64_t>();
  options.max_new_tokens = expected.at("max_new_tokens").get<int64_t>();
  options.length_penalty = expected.at("length_penalty").get<double>();
  options.eos_token_ids = {expected.at("eos_token_id").get<int64_t>()};
  const auto found = generate_beams(*golden.model, golden.encoded, options);
  ASSERT_EQ(found.size(), 3u);
  double largest = 0;
  for (size_t r = 0; r < found.size(); ++r) {
    ASSERT_EQ(found[r].size(), 4u);
    for (size_t b = 0; b < found[r].size(); ++b) {
      EXPECT_EQ(found[r][b].ids, new_tokens(expected.at("sequences")[r][b], options.eos_token_ids))
          << r << " " << b;
      const double score = expected.at("scores")[r][b].get<double>();
      EXPECT_NEAR(found[r][b].score, score, 1e-4) << r << " " << b;
      largest = std::max(largest, std::abs(found[r][b].score - score));
    }
  }
  testing::Test::RecordProperty("beam_score_difference", fmt::format("{:.2g}", largest));
}

TEST(T5GenerateGolden, v1_0_greedy_tokens_and_beams) {
  SKIP_WITHOUT_T5_GOLDEN();
  const Golden golden("t5-v1.0");
  expect_greedy(golden, "greedy_no_eos");
  expect_greedy(golden, "greedy_eos");
  expect_beams(golden);
}
TEST(T5GenerateGolden, flan_greedy_tokens_and_beams) {
  SKIP_WITHOUT_T5_GOLDEN();
  const Golden golden("t5-flan");
  expect_greedy(golden, "greedy_no_eos");
  expect_greedy(golden, "greedy_eos");
  expect_beams(golden);
}

// ---- cache

// Feeds rows token by token and compares every state with one full forward pass.
void expect_cache_equals_forward(const T5& model, const std::vector<int64_t>& source_of_row,
                                 int64_t steps) {
  const at::NoGradGuard no_grad;
  const StateRows encoded = encode(model, random_rows({9, 4, 17}, 1));
  const TokenForest rows = random_rows(std::vector<int64_t>(source_of_row.size(), steps), 2);
  const at::Tensor expected = model.decode(rows, encoded, source_of_row);
  T5Cache cache(model, encoded, source_of_row, steps);
  for (int64_t t = 0; t < steps; ++t) {
    std::vector<int64_t> ids, tokens;
    for (const Segment& row : rows.segments) {
      tokens.push_back(row.begin + t);
      ids.push_back(rows.ids[static_cast<size_t>(row.begin + t)]);
    }
    EXPECT_LT(largest_difference(cache.decode(ids),
                                 expected.index_select(0, at::tensor(tokens, at::kLong))),
              1e-5)
        << t;
  }
}

TEST(T5Cache, decoding_equals_the_full_forward_pass) {
  for (const T5Config& config : small_t5_versions()) {
    SCOPED_TRACE(config.feed_forward_proj);
    const std::unique_ptr<T5> model = new_t5(config, 1);
    expect_cache_equals_forward(*model, {0}, 30);
    expect_cache_equals_forward(*model, {1, 0, 2, 2, 0, 0}, 12);
  }
}

TEST(T5Cache, decodes_with_the_adapter_of_its_beginning) {
  const std::unique_ptr<T5> model = new_t5(small_t5(), 1);
  model->attach_lora({4, 8, {}}, 3);
  for (auto& [name, tensor] : model->parameters()) {
    const at::NoGradGuard no_grad;
    if (name.ends_with("lora_B.weight")) tensor.fill_(0.05);
  }
  expect_cache_equals_forward(*model, {0, 1}, 5);
}

TEST(T5Cache, rows_leave_change_places_and_repeat) {
  const at::NoGradGuard no_grad;
  const std::unique_ptr<T5> model = new_t5(small_t5(), 1);
  const StateRows encoded = encode(*model, random_rows({9, 4}, 1));
  T5Cache cache(*model, encoded, std::vector<int64_t>{0, 1, 0}, 4);
  cache.decode(std::vector<int64_t>{1, 2, 3});
  const std::vector<int64_t> kept{2, 1, 1, 2};
  cache.keep_rows(kept);
  const at::Tensor found = cache.decode(std::vector<int64_t>{4, 5, 6, 7});
  TokenForest rows;
  for (const auto& ids : std::vector<std::vector<int64_t>>{{3, 4}, {2, 5}, {2, 6}, {3, 7}})
    rows.add(-1, ids);
  const at::Tensor expected = model->decode(rows, encoded, std::vector<int64_t>{0, 1, 1, 0});
  EXPECT_LT(largest_difference(found, expected.slice(0, 1, 8, 2)), 1e-5);
  cache.keep_rows({});
  EXPECT_EQ(cache.decode({}).size(0), 0);
}

TEST(T5Cache, refuses_too_many_tokens_and_wrong_rows) {
  const std::unique_ptr<T5> model = new_t5(small_t5(), 1);
  const StateRows encoded = encode(*model, random_rows({9, 4}, 1));
  const std::vector<int64_t> sources{0, 1}, outside{0, 61}, one{1};
  EXPECT_THROW(T5Cache(*model, encoded, sources, 0), Error);
  EXPECT_THROW(T5Cache(*model, encoded, std::vector<int64_t>{2}, 1), Error);
  T5Cache cache(*model, encoded, sources, 1);
  EXPECT_THROW(cache.keep_rows(std::vector<int64_t>{2}), Error);
  EXPECT_THROW(cache.decode(one), Error);
  EXPECT_THROW(cache.decode(outside), Error);
  cache.decode(sources);
  EXPECT_THROW(cache.decode(sources), Error);
}

// ---- search

TEST(T5Generate, requests_of_a_batch_do_not_see_each_other) {
  const std::unique_ptr<T5> model = new_t5(small_t5(), 1);
  const TokenForest rows = random_rows({9, 4, 17}, 1);
  T5BeamOptions options;
  options.max_new_tokens = 6;
  options.eos_token_ids = {7, 20};
  const std::vector<int64_t> ends{7, 20};
  const auto greedy = generate_greedy(*model, encode(*model, rows), 6, ends);
  const auto beams = generate_beams(*model, encode(*model, rows), options);
  for (int64_t r = 0; r < 3; ++r) {
    const StateRows alone = encode(*model, row_of(rows, r));
    EXPECT_EQ(generate_greedy(*model, alone, 6, ends)[0], greedy[r]);
    const auto found = generate_beams(*model, alone, options)[0];
    ASSERT_EQ(found.size(), beams[r].size());
    for (size_t b = 0; b < found.size(); ++b) {
      EXPECT_EQ(found[b].ids, beams[r][b].ids) << r << " " << b;
      EXPECT_NEAR(found[b].score, beams[r][b].score, 1e-5);
    }
  }
}

TEST(T5Generate, one_beam_is_greedy) {
  const std::unique_ptr<T5> model = new_t5(small_t5(), 1);
  const StateRows encoded = encode(*model, random_rows({9, 4}, 1));
  T5BeamOptions options;
  options.num_beams = 1;
  options.max_new_tokens = 8;
  const auto beams = generate_beams(*model, encoded, options);
  const auto greedy = generate_greedy(*model, encoded, 8, {});
  for (size_t r = 0; r < 2; ++r) EXPECT_EQ(beams[r][0].ids, greedy[r]);
}

constexpr int64_t kVocab = 4;

// Log-probabilities that depend on everything before.
std::vector<float> toy_logprobs(const std::vector<int64_t>& before) {
  uint64_t index = 1;
  for (int64_t id : before) index = index * 7 + static_cast<uint64_t>(id);
  Rng rng(3, "toy", index);
  std::vector<float> values;
  for (int64_t v = 0; v < kVocab; ++v) values.push_back(static_cast<float>(rng.normal()));
  const at::Tensor out = at::log_softmax(at::tensor(values), -1);
  return {out.const_data_ptr<float>(), out.const_data_ptr<float>() + kVocab};
}

std::vector<T5Beam> toy_search(const T5BeamOptions& options, int64_t forbidden = -1) {
  std::vector<std::vector<int64_t>> rows{{}};
  const auto logprobs = [&] {
    std::vector<float> all;
    for (const auto& row : rows) {
      std::vector<float> next = toy_logprobs(row);
      if (forbidden >= 0) next[forbidden] = -std::numeric_limits<float>::infinity();
      all.insert(all.end(), next.begin(), next.end());
    }
    return at::tensor(all).view({-1, kVocab});
  };
  return beam_search(logprobs(), options,
                     [&](std::span<const int64_t> ids, std::span<const int64_t> parents) {
                       std::vector<std::vector<int64_t>> next;
                       for (size_t r = 0; r < ids.size(); ++r) {
                         next.push_back(rows.at(static_cast<size_t>(parents[r])));
                         next.back().push_back(ids[r]);
                       }
                       rows = std::move(next);
                       return logprobs();
                     })[0];
}

// All texts of at most three tokens that end with token 0 or at the third, with their scores.
void enumerate(const std::vector<int64_t>& before, double sum, std::vector<T5Beam>& out) {
  const std::vector<float> next = toy_logprobs(before);
  for (int64_t v = 0; v < kVocab; ++v) {
    std::vector<int64_t> ids = before;
    ids.push_back(v);
    if (v == 0 || ids.size() == 3) {
      out.push_back({ids, (sum + next[v]) / static_cast<double>(ids.size())});
    } else {
      enumerate(ids, sum + next[v], out);
    }
  }
}

TEST(BeamSearch, with_room_for_all_it_is_an_enumeration) {
  std::vector<T5Beam> all;
  enumerate({}, 0, all);
  std::sort(all.begin(), all.end(),
            [](const T5Beam& a, const T5Beam& b) { return a.score > b.score; });
  ASSERT_EQ(all.size(), 1u + 3 + 36);
  T5BeamOptions options;
  options.num_beams = 64;
  options.max_new_tokens = 3;
  options.eos_token_ids = {0};
  const std::vector<T5Beam> found = toy_search(options);
  ASSERT_EQ(found.size(), all.size());
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(found[i].ids, all[i].ids) << i;
    EXPECT_NEAR(found[i].score, all[i].score, 1e-5);
  }
}

TEST(BeamSearch, never_takes_what_the_step_forbids) {
  T5BeamOptions options;
  options.num_beams = 64;
  options.max_new_tokens = 3;
  const std::vector<T5Beam> found = toy_search(options, 2);
  EXPECT_EQ(found.size(), 27u);
  for (const T5Beam& beam : found) EXPECT_EQ(std::count(beam.ids.begin(), beam.ids.end(), 2), 0);
}

TEST(BeamSearch, refuses_numbers_that_are_none) {
  T5BeamOptions options;
  const at::Tensor bad = at::full({1, kVocab}, std::numeric_limits<float>::quiet_NaN());
  const T5BeamStep step = [&](std::span<const int64_t>, std::span<const int64_t>) { return bad; };
  EXPECT_THROW(beam_search(bad, options, step), Error);
  options.num_beams = 0;
  EXPECT_THROW(beam_search(at::zeros({1, kVocab}), options, step), Error);
}

}  // namespace
}  // namespace etrlrec
