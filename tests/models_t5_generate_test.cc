// Cached decoding of T5 against the full forward pass, sampling and beam search on it against
// golden files of Transformers and fresh passes.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/json.h"
#include "engine/beam.h"
#include "engine/engine.h"
#include "models/t5_cache.h"
#include "models_t5_fixture.h"
#include "nn/safetensors.h"

namespace etrlrec {
namespace {

std::vector<int64_t> ids_of(const TokenForest& rows, size_t row) {
  const Segment& segment = rows.segments[row];
  return {rows.ids.begin() + segment.begin, rows.ids.begin() + segment.end};
}

std::vector<std::vector<int64_t>> generate_greedy(const T5& model, const TokenForest& rows,
                                                  int64_t max_new_tokens,
                                                  const std::vector<int64_t>& ends) {
  std::vector<GenerationRequest> requests;
  for (size_t r = 0; r < rows.segments.size(); ++r) requests.push_back({ids_of(rows, r), {}});
  GenerationOptions options;
  options.sampling.temperature = 0;
  options.max_new_tokens = max_new_tokens;
  options.eos_ids = ends;
  std::vector<std::vector<int64_t>> out;
  for (const Completion& completion : generate(model, requests, options))
    out.push_back(completion.ids);
  return out;
}

std::vector<std::vector<Hypothesis>> generate_beams(const T5& model, const TokenForest& rows,
                                                    const BeamOptions& options,
                                                    const ItemTrie* items = nullptr) {
  std::vector<BeamRequest> requests;
  for (size_t r = 0; r < rows.segments.size(); ++r) requests.push_back({ids_of(rows, r), items});
  return beam_search(model, requests, options);
}

// ---- golden files

struct Golden {
  explicit Golden(const std::string& name)
      : model(load_t5(kT5Golden / name)), json(read_json(kT5Golden / name / "golden.json")) {
    const ParameterMap tensors = load_safetensors(kT5Golden / name / "golden.safetensors");
    rows = pack_rows(tensors.at("input_ids"), tensors.at("attention_mask"));
  }
  std::unique_ptr<T5> model;
  Json json;
  TokenForest rows;
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
  const auto found = generate_greedy(*golden.model, golden.rows, 24, ends);
  ASSERT_EQ(found.size(), 3u);
  for (size_t r = 0; r < found.size(); ++r)
    EXPECT_EQ(found[r], new_tokens(expected.at("sequences")[r], ends)) << key << " " << r;
}

void expect_beams(const Golden& golden) {
  const Json& expected = golden.json.at("beam");
  BeamOptions options;
  options.num_beams = expected.at("num_beams").get<int64_t>();
  options.max_new_tokens = expected.at("max_new_tokens").get<int64_t>();
  options.length_penalty = expected.at("length_penalty").get<double>();
  options.eos_ids = {expected.at("eos_token_id").get<int64_t>()};
  const auto found = generate_beams(*golden.model, golden.rows, options);
  ASSERT_EQ(found.size(), 3u);
  double largest = 0;
  for (size_t r = 0; r < found.size(); ++r) {
    ASSERT_EQ(found[r].size(), 4u);
    for (size_t b = 0; b < found[r].size(); ++b) {
      EXPECT_EQ(found[r][b].ids, new_tokens(expected.at("sequences")[r][b], options.eos_ids))
          << r << " " << b;
      const double score = expected.at("scores")[r][b].get<double>();
      EXPECT_NEAR(found[r][b].score, score, 1e-4) << r << " " << b;
      largest = std::max(largest, std::abs(found[r][b].score - score));
    }
  }
  testing::Test::RecordProperty("beam_score_difference", fmt::format("{:.2g}", largest));
}

TEST(T5GenerateGolden, v1_0_greedy_tokens_and_beams) {
  const Golden golden("t5-v1.0");
  expect_greedy(golden, "greedy_no_eos");
  expect_greedy(golden, "greedy_eos");
  expect_beams(golden);
}
TEST(T5GenerateGolden, flan_greedy_tokens_and_beams) {
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
  T5Cache cache(std::make_shared<const T5Weights>(model.weights()), model.config(), encoded,
                source_of_row, steps);
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
  model->adapters().attach({4, 8, {}}, 3);
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
  T5Cache cache(std::make_shared<const T5Weights>(model->weights()), model->config(), encoded,
                std::vector<int64_t>{0, 1, 0}, 4);
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
  const auto weights = std::make_shared<const T5Weights>(model->weights());
  EXPECT_THROW(T5Cache(weights, model->config(), encoded, sources, 0), Error);
  EXPECT_THROW(T5Cache(weights, model->config(), encoded, std::vector<int64_t>{2}, 1), Error);
  T5Cache cache(std::make_shared<const T5Weights>(model->weights()), model->config(), encoded,
                sources, 1);
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
  BeamOptions options;
  options.max_new_tokens = 6;
  options.eos_ids = {7, 20};
  const std::vector<int64_t> ends{7, 20};
  const auto greedy = generate_greedy(*model, rows, 6, ends);
  const auto beams = generate_beams(*model, rows, options);
  for (int64_t r = 0; r < 3; ++r) {
    const TokenForest alone = row_of(rows, r);
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
  const TokenForest rows = random_rows({9, 4}, 1);
  BeamOptions options;
  options.num_beams = 1;
  options.max_new_tokens = 8;
  const auto beams = generate_beams(*model, rows, options);
  const auto greedy = generate_greedy(*model, rows, 8, {});
  for (size_t r = 0; r < 2; ++r) EXPECT_EQ(beams[r][0].ids, greedy[r]);
}

// log p of every token behind the start token and the text, by one full pass of the decoder.
at::Tensor fresh_logprobs(const T5& model, const TokenForest& source,
                          const std::vector<int64_t>& text) {
  const at::NoGradGuard no_grad;
  TokenForest decoder;
  std::vector<int64_t> ids{model.config().decoder_start_token_id};
  ids.insert(ids.end(), text.begin(), text.end());
  decoder.add(-1, ids);
  const at::Tensor states = model.decode(decoder, encode(model, source), std::vector<int64_t>{0});
  return at::mm(states, model.head_weight().t()).log_softmax(-1);
}

double fresh_sum(const T5& model, const TokenForest& source, const std::vector<int64_t>& text) {
  const at::Tensor logprobs = fresh_logprobs(model, source, text);
  double sum = 0;
  for (size_t t = 0; t < text.size(); ++t)
    sum += logprobs[static_cast<int64_t>(t)][text[t]].item<double>();
  return sum;
}

// Rows of different prompts enter while others grow, several of each prompt.
TEST(T5Generate, sampled_rows_have_the_log_probabilities_of_a_full_pass) {
  const std::unique_ptr<T5> model = new_t5(small_t5(), 1);
  const TokenForest rows = random_rows({9, 4, 17, 5, 1, 30}, 1);
  std::vector<GenerationRequest> requests;
  for (size_t r = 0; r < 6; ++r) requests.push_back({ids_of(rows, r), {}});
  GenerationOptions options;
  options.completions_per_prompt = 3;
  options.max_new_tokens = 14;
  options.eos_ids = {7, 20, 33, 40};
  options.max_batch = 7;
  options.sampling.repetition_penalty = 1.3;
  const auto found = generate(*model, requests, options);
  std::vector<size_t> lengths;
  for (size_t i = 0; i < found.size(); ++i) {
    const at::Tensor logprobs =
        fresh_logprobs(*model, row_of(rows, static_cast<int64_t>(i / 3)), found[i].ids);
    for (size_t t = 0; t < found[i].ids.size(); ++t)
      EXPECT_NEAR(found[i].logprobs[t],
                  logprobs[static_cast<int64_t>(t)][found[i].ids[t]].item<float>(), 1e-4);
    lengths.push_back(found[i].ids.size());
  }
  EXPECT_LT(*std::min_element(lengths.begin(), lengths.end()), 14u);
  options.max_batch = 18;
  const auto together = generate(*model, requests, options);
  for (size_t i = 0; i < found.size(); ++i) EXPECT_EQ(found[i].ids, together[i].ids) << i;
}

// As in Transformers, penalties see what the decoder has read, not the encoder's text: here all of
// the vocabulary.
TEST(T5Generate, penalties_do_not_see_the_encoder) {
  const std::unique_ptr<T5> model = new_t5(small_t5(), 1);
  TokenForest source;
  source.add(-1, row_numbers(61));
  at::Tensor first = fresh_logprobs(*model, source, {})[0];
  first[model->config().decoder_start_token_id] = -1e9;  // this one the decoder has read
  GenerationOptions options;
  options.sampling.temperature = 0;
  options.sampling.no_repeat_ngram_size = 1;
  options.max_new_tokens = 20;
  const GenerationRequest request{source.ids, {}};
  std::vector<int64_t> ids = generate(*model, std::span(&request, 1), options)[0].ids;
  EXPECT_EQ(ids[0], first.argmax().item<int64_t>());
  std::sort(ids.begin(), ids.end());
  EXPECT_EQ(std::unique(ids.begin(), ids.end()), ids.end());
}

TEST(T5Generate, beams_find_the_best_items_of_a_trie) {
  const std::unique_ptr<T5> model = new_t5(small_t5(), 1);
  const std::vector<std::vector<int64_t>> titles{
      {5, 6, 1}, {5, 7, 1}, {8, 1}, {5, 6, 9, 1}, {3, 1}};
  const ItemTrie trie(titles, 61);
  const TokenForest rows = random_rows({9, 4}, 1);
  BeamOptions options;
  options.num_beams = 5;
  options.length_penalty = 0;
  const auto found = generate_beams(*model, rows, options, &trie);
  for (size_t r = 0; r < 2; ++r) {
    std::vector<std::pair<double, std::vector<int64_t>>> expected;
    for (const auto& title : titles)
      expected.emplace_back(-fresh_sum(*model, row_of(rows, static_cast<int64_t>(r)), title),
                            title);
    std::sort(expected.begin(), expected.end());
    ASSERT_EQ(found[r].size(), 5u);
    for (size_t k = 0; k < 5; ++k) {
      EXPECT_EQ(found[r][k].ids, expected[k].second);
      EXPECT_NEAR(found[r][k].score, -expected[k].first, 1e-4);
    }
  }
}

TEST(T5Generate, refuses_what_encoders_cannot_do) {
  const std::unique_ptr<T5> model = new_t5(small_t5(), 1);
  const std::vector<int64_t> row{0}, two{0, 0}, source{1, 2};
  TokenForest root, tree, bare, longer;
  EXPECT_EQ(model->add_prompt(root, source), 0);
  tree.add(model->add_prompt(tree, source), std::vector<int64_t>{0});
  bare.add(-1, row);
  longer.add(-1, std::vector<int64_t>{0, 3}, source);
  at::Tensor last;
  for (const TokenForest* wrong : {&tree, &bare, &longer})
    EXPECT_THROW(model->prefill(*wrong, row, 1, last), Error);
  std::vector<SharedPromptKeys> keys(1);
  EXPECT_THROW(model->admit(*model->new_cache(1, 1), root, row, last, keys), Error);
  EXPECT_THROW(model->admit(*model->new_cache(1, 1), root, two, last, {}), Error);
  EXPECT_THROW(model->new_cache(1, -1), Error);
  const auto cache = model->prefill(root, row, 2, last);
  EXPECT_THROW(model->decode(*cache, two), Error);
  EXPECT_THROW(cache->keep_rows(two), Error);
  EXPECT_THROW(cache->keep_rows(std::vector<int64_t>{1}), Error);
}

}  // namespace
}  // namespace etrlrec
