// The decoder against golden files of Transformers and PEFT, cached decoding against the full
// forward pass, refusals.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/rng.h"
#include "golden_batch.h"
#include "models/decoder.h"
#include "models_fixture.h"
#include "nn/safetensors.h"

namespace etrlrec {
namespace {

void expect_golden(const std::string& name) {
  const fs::path folder = kGolden / "decoders" / name;
  const std::unique_ptr<LanguageModel> model = load_decoder(folder);
  const ParameterMap golden = load_safetensors(folder / "golden.safetensors");
  const GoldenBatch batch(golden, "right.");
  EXPECT_LT(largest_difference(logits_of(*model, batch.forest), batch.expected_logits()), 2e-4);
  const at::Tensor loss = batch.loss(*model);
  EXPECT_NEAR(loss.item<double>(), golden.at("right.loss").item<double>(), 2e-5);
  loss.backward();
  int compared = 0;
  for (const auto& [key, expected] : golden) {
    if (!key.starts_with("grad.")) continue;
    const at::Tensor found = model->parameters().at(key.substr(5)).grad();
    EXPECT_LT(largest_difference(found, expected) / expected.abs().max().item<double>(), 1e-4)
        << key;
    ++compared;
  }
  EXPECT_GE(compared, 7);
  const Json json = read_json(folder / "golden.json");
  for (const auto& [key, expected] : json["grad_norm_and_sum"].items()) {
    EXPECT_NEAR(model->parameters().at(key).grad().norm().item<double>(), expected[0].get<double>(),
                1e-4 * expected[0].get<double>())
        << key;
  }
}

std::vector<int64_t> argmax_tokens(const LanguageModel& model, const at::Tensor& hidden) {
  const at::Tensor best = at::mm(hidden, model.head_weight().t()).argmax(-1);
  return {best.const_data_ptr<int64_t>(), best.const_data_ptr<int64_t>() + best.numel()};
}

void expect_golden_greedy(const std::string& name) {
  const at::NoGradGuard no_grad;
  const fs::path folder = kGolden / "decoders" / name;
  const std::unique_ptr<LanguageModel> model = load_decoder(folder);
  const Json generation = read_json(folder / "golden.json")["generation"];
  TokenForest prompts;
  std::vector<int64_t> rows;
  for (size_t r = 0; r < generation["input_ids"].size(); ++r) {
    std::vector<int64_t> prompt;
    for (size_t t = 0; t < generation["input_ids"][r].size(); ++t) {
      if (generation["attention_mask"][r][t] == 1) prompt.push_back(generation["input_ids"][r][t]);
    }
    rows.push_back(prompts.add(-1, prompt));
  }
  const Json expected = generation["greedy_no_eos"]["new_tokens"];
  at::Tensor hidden;
  const auto cache = model->prefill(prompts, rows, expected[0].size(), hidden);
  for (size_t t = 0; t < expected[0].size(); ++t) {
    const std::vector<int64_t> tokens = argmax_tokens(*model, hidden);
    for (size_t r = 0; r < rows.size(); ++r)
      EXPECT_EQ(tokens[r], expected[r][t].get<int64_t>()) << r << " " << t;
    hidden = model->decode(*cache, tokens);
  }
}

constexpr const char* kFamilies[] = {"qwen2", "qwen3", "llama-tied", "llama3-untied",
                                     "mistral-swa"};

// `same`: how near the twin with widened weights, and a cached token, must be.
void expect_frozen_bases(const Numerics& numerics, double same, double bfloat16_error,
                         double int8_error) {
  const fs::path folder = kGolden / "decoders/qwen2";
  const std::unique_ptr<LanguageModel> exact = load_decoder(folder);
  TokenForest forest;
  forest.add(-1, random_ids(40, 3));
  const at::Tensor expected = logits_of(*exact, forest);
  const auto error = [&](const at::Tensor& found) {
    return ((found - expected).norm() / expected.norm()).item<double>();
  };
  for (const auto& [storage, tolerance] :
       {std::pair{Storage::kBFloat16, bfloat16_error}, std::pair{Storage::kInt8, int8_error}}) {
    const std::unique_ptr<LanguageModel> model = load_decoder(folder, storage, numerics),
                                         twin = load_decoder(folder);
    const at::NoGradGuard no_grad;
    for (auto& [name, tensor] : twin->parameters())
      tensor.copy_(tensor.dim() < 2 ? tensor : widened(model->parameters().at(name)));
    const at::Tensor hidden = model->hidden_states(forest);
    const at::Tensor found = weight_product(hidden, model->head_weight(), numerics);
    EXPECT_LT(largest_difference(found, logits_of(*twin, forest)), same);
    EXPECT_LT(error(found), tolerance);
    EXPECT_GT(error(found), 0);
    TokenForest prompt;
    prompt.add(-1, std::span(forest.ids).first(39));
    at::Tensor last;
    const std::vector<int64_t> root{0}, next{forest.ids[39]};
    const auto cache = model->prefill(prompt, root, 1, last);
    EXPECT_LT(largest_difference(model->decode(*cache, next)[0], hidden[39]), same);
    const at::AutoGradMode grad(true);
    LoraConfig lora;
    lora.r = 2;
    model->adapters().attach(lora, 1);
    model->hidden_states(forest).square().sum().backward();
    for (const auto& [name, tensor] : model->parameters())
      ASSERT_EQ(tensor.grad().defined(), is_adapter_parameter(name)) << name;
    model->adapters().merge();
    EXPECT_LT(error(weight_product(model->hidden_states(forest).detach(), model->head_weight(),
                                   numerics)),
              tolerance);
  }
}

// Frozen weights: bfloat16 as exact as the weights are, int8 within what its steps allow; the same
// from a cache; adapters train on them.
TEST(DecoderStorage, bfloat16_and_int8_bases) {
  expect_frozen_bases({Arithmetic::kFloat}, 1e-4, 0.01, 0.05);
}

TEST(DecoderStorage, bfloat16_arithmetic) {
  if (!supports_bfloat16()) GTEST_SKIP() << "the machine has no AVX512_BF16";
  expect_frozen_bases({Arithmetic::kBFloat16}, 0.2, 0.02, 0.05);
}

TEST(DecoderGolden, logits_loss_and_gradients) {
  for (const char* name : kFamilies) {
    SCOPED_TRACE(name);
    expect_golden(name);
  }
}
TEST(DecoderGolden, greedy_tokens) {
  for (const char* name : kFamilies) {
    SCOPED_TRACE(name);
    expect_golden_greedy(name);
  }
}

TEST(DecoderGolden, older_config_files_and_written_ones_give_the_same_model) {
  for (const char* name : kFamilies) {
    SCOPED_TRACE(name);
    const fs::path folder = fs::path(testing::TempDir()) / "old-config";
    fs::create_directories(folder);
    const fs::path original = kGolden / "decoders" / name;
    fs::copy_file(original / "config.v4.json", folder / "config.json",
                  fs::copy_options::overwrite_existing);
    fs::copy_file(original / "model.safetensors", folder / "model.safetensors",
                  fs::copy_options::overwrite_existing);
    TokenForest forest;
    forest.add(-1, random_ids(20, 1));
    const std::unique_ptr<LanguageModel> model = load_decoder(original);
    const at::Tensor expected = logits_of(*model, forest);
    EXPECT_TRUE(at::equal(logits_of(*load_decoder(folder), forest), expected));
    model->save(folder);
    EXPECT_TRUE(at::equal(logits_of(*load_decoder(folder), forest), expected));
  }
}

TEST(DecoderGolden, sharded_weights_give_the_same_model) {
  TokenForest forest;
  forest.add(-1, random_ids(12, 1));
  EXPECT_TRUE(at::equal(logits_of(*load_decoder(kGolden / "decoders/qwen2-sharded"), forest),
                        logits_of(*load_decoder(kGolden / "decoders/qwen2"), forest)));
}

TEST(DecoderGolden, bf16_files_are_widened) {
  const std::unique_ptr<LanguageModel> model = load_decoder(kGolden / "decoders/qwen2-bf16");
  for (const auto& [name, tensor] : model->parameters())
    EXPECT_EQ(tensor.scalar_type(), at::kFloat) << name;
}

TEST(Decoder, a_fresh_adapter_changes_nothing) {
  const auto model = new_decoder(small_config(), 1);
  TokenForest forest;
  forest.add(-1, random_ids(20, 1));
  const at::Tensor before = logits_of(*model, forest);
  model->adapters().attach({4, 8, {}}, 3);
  EXPECT_TRUE(at::equal(logits_of(*model, forest), before));
}

TEST(Decoder, training_an_adapter_leaves_frozen_weights_without_gradient) {
  const auto model = new_decoder(small_config(), 1);
  model->adapters().attach({4, 8, {"q_proj"}}, 3);
  TokenForest forest;
  forest.add(-1, random_ids(20, 1));
  model->hidden_states(forest).sum().backward();
  for (const auto& [name, tensor] : model->parameters()) {
    EXPECT_EQ(tensor.grad().defined(), is_adapter_parameter(name)) << name;
  }
}

TEST(Decoder, the_seed_decides_the_weights) {
  const auto a = new_decoder(small_config(), 1), b = new_decoder(small_config(), 1),
             c = new_decoder(small_config(), 2);
  EXPECT_TRUE(at::equal(a->head_weight(), b->head_weight()));
  EXPECT_FALSE(at::equal(a->head_weight(), c->head_weight()));
}

void expect_forest_equals_rows(const LlmConfig& config) {
  const auto shared = new_decoder(config, 1), repeated = new_decoder(config, 1);
  TokenForest tree, rows;
  const std::vector<int64_t> prompt = random_ids(40, 1);
  tree.add(-1, prompt);
  std::vector<int64_t> completion_tokens;
  for (int i = 0; i < 5; ++i) {
    const std::vector<int64_t> completion = random_ids(7 + 11 * i, 10 + i);
    tree.add(0, completion);
    std::vector<int64_t> row = prompt;
    row.insert(row.end(), completion.begin(), completion.end());
    rows.add(-1, row);
    for (size_t t = prompt.size(); t < row.size(); ++t) {
      completion_tokens.push_back(rows.segments.back().begin + static_cast<int64_t>(t));
    }
  }
  const at::Tensor a = shared->hidden_states(tree).slice(0, 40);
  const at::Tensor b = repeated->hidden_states_at(rows, completion_tokens);
  EXPECT_LT(largest_difference(a, b), 1e-4);
  at::Tensor weights = at::empty_like(a);  // the squares of a normalised row have no gradient
  Rng rng(5, "loss-weights");
  for (int64_t i = 0; i < weights.numel(); ++i) {
    weights.data_ptr<float>()[i] = static_cast<float>(rng.normal());
  }
  (a * weights).sum().backward();
  (b * weights).sum().backward();
  for (const auto& [name, tensor] : shared->parameters()) {
    if (name == "lm_head.weight") continue;  // hidden states do not depend on it
    const at::Tensor expected = repeated->parameters().at(name).grad();
    const double largest = expected.abs().max().item<double>();
    EXPECT_GT(largest, 1e-3) << name;
    // key biases shift all scores of a row alike: their gradient is rounding of the sums behind it
    const double tolerance = name.ends_with("k_proj.bias") ? 1e-3 : 1e-4 * largest;
    EXPECT_LT(largest_difference(tensor.grad(), expected), tolerance) << name;
  }
}

TEST(Decoder, a_forest_equals_its_rows_forward_and_backward) {
  for (const LlmConfig& config : small_families()) {
    SCOPED_TRACE(config.model_type);
    expect_forest_equals_rows(config);
  }
}

TEST(Decoder, saved_models_load_to_the_same_bits) {
  const auto model = new_decoder(small_config(), 1);
  const fs::path folder = fs::path(testing::TempDir()) / "saved-llm";
  model->save(folder);
  const auto loaded = load_decoder(folder);
  EXPECT_EQ(loaded->config().num_key_value_heads, 2);
  for (const auto& [name, tensor] : model->parameters())
    EXPECT_TRUE(at::equal(tensor, loaded->parameters().at(name))) << name;
  EXPECT_FALSE(load_safetensors(folder / "model.safetensors").contains("lm_head.weight"));
}

// ---- cached decoding
// -------------------------------------------------------------------------------------------------

// Feeds continuations token by token and compares every hidden state with one full forward pass.
void expect_cache_equals_forward(const LanguageModel& model, int64_t roots, int64_t rows_per_root,
                                 int64_t steps) {
  const at::NoGradGuard no_grad;
  TokenForest prompts, full;
  std::vector<int64_t> root_of_row;
  std::vector<std::vector<int64_t>> continuations;
  for (int64_t root = 0; root < roots; ++root)
    prompts.add(-1, random_ids(3 + 17 * (root % 5), root));
  for (int64_t r = 0; r < roots * rows_per_root; ++r) {
    root_of_row.push_back((r * 7) % roots);  // rows of one prompt are not neighbours
    continuations.push_back(random_ids(steps, 100 + r));
    const Segment& prompt = prompts.segments[root_of_row.back()];
    full.add(-1, std::span(prompts.ids).subspan(prompt.begin, prompt.end - prompt.begin));
    full.add(2 * r, continuations.back());
  }
  const at::Tensor expected = model.hidden_states(full);
  at::Tensor last;
  const auto cache = model.prefill(prompts, root_of_row, steps, last);
  for (int64_t r = 0; r < cache->num_rows(); ++r) {
    EXPECT_LT(largest_difference(last[root_of_row[r]], expected[full.segments[2 * r].end - 1]),
              1e-4);
  }
  for (int64_t t = 0; t < steps; ++t) {
    std::vector<int64_t> ids;
    for (const auto& tokens : continuations) ids.push_back(tokens[t]);
    const at::Tensor hidden = model.decode(*cache, ids);
    for (int64_t r = 0; r < cache->num_rows(); ++r) {
      ASSERT_LT(largest_difference(hidden[r], expected[full.segments[2 * r + 1].begin + t]), 1e-4)
          << r << " " << t;
    }
  }
}

TEST(KvCache, decoding_equals_the_full_forward_pass) {
  for (const LlmConfig& config : small_families()) {
    SCOPED_TRACE(config.model_type);
    const auto model = new_decoder(config, 1);
    expect_cache_equals_forward(*model, 1, 1, 20);
    expect_cache_equals_forward(*model, 3, 5, 20);
  }
}

TEST(KvCache, many_rows_on_all_threads_equal_the_full_forward_pass) {
  const auto model = new_decoder(small_config(), 1);
  expect_cache_equals_forward(*model, 11, 9, 4);
  expect_cache_equals_forward(*model, 1, 100, 3);  // more rows of one prompt than a tile holds
}

TEST(KvCache, decodes_with_the_adapter_that_prefill_saw) {
  const auto model = new_decoder(small_config(), 1);
  model->adapters().attach({4, 8, {}}, 3);
  for (auto& [name, tensor] : model->parameters()) {
    const at::NoGradGuard no_grad;
    if (name.ends_with("lora_B.weight")) tensor.fill_(0.05);
  }
  expect_cache_equals_forward(*model, 3, 2, 5);
}

TEST(KvCache, kept_rows_continue_as_if_the_others_had_never_been) {
  const at::NoGradGuard no_grad;
  const auto model = new_decoder(small_config(), 1);
  TokenForest prompts;
  prompts.add(-1, random_ids(9, 1));
  prompts.add(-1, random_ids(14, 2));
  const std::vector<int64_t> roots{0, 1, 0, 1};
  at::Tensor last;
  const auto cache = model->prefill(prompts, roots, 8, last);
  model->decode(*cache, std::vector<int64_t>{1, 2, 3, 4});
  const std::vector<int64_t> kept{3, 0};
  cache->keep_rows(kept);
  EXPECT_EQ(cache->num_rows(), 2);
  const at::Tensor found = model->decode(*cache, std::vector<int64_t>{5, 6});
  TokenForest full;
  full.add(-1, random_ids(14, 2));
  full.add(0, std::vector<int64_t>{4, 5});
  full.add(-1, random_ids(9, 1));
  full.add(2, std::vector<int64_t>{1, 6});
  const at::Tensor expected = model->hidden_states(full);
  EXPECT_LT(largest_difference(found[0], expected[15]), 1e-4);
  EXPECT_LT(largest_difference(found[1], expected[26]), 1e-4);
  cache->keep_rows({});
  EXPECT_EQ(model->decode(*cache, {}).size(0), 0);
}

TEST(KvCache, refuses_too_many_tokens_and_wrong_rows) {
  const auto model = new_decoder(small_config(), 1);
  TokenForest prompts;
  prompts.add(-1, random_ids(4, 1));
  at::Tensor last;
  const std::vector<int64_t> roots{0, 0}, one{1}, unknown{5}, three{0, 0, 1}, tokens{1, 2},
      outside{1, 61};
  EXPECT_THROW(model->prefill(prompts, unknown, 1, last), Error);
  const auto cache = model->prefill(prompts, roots, 1, last);
  EXPECT_THROW(cache->keep_rows(three), Error);
  EXPECT_THROW(cache->keep_rows(tokens), Error);
  EXPECT_THROW(model->decode(*cache, one), Error);
  EXPECT_THROW(model->decode(*cache, outside), Error);
  model->decode(*cache, tokens);
  EXPECT_THROW(model->decode(*cache, tokens), Error);
}

TEST(Decoder, refuses_weights_that_do_not_fit) {
  const auto model = new_decoder(small_config(), 1);
  ParameterMap source;
  for (const auto& [name, tensor] : model->parameters()) source[name] = tensor.detach();
  ParameterMap missing = source, wrong = source, extra = source;
  missing.erase("model.norm.weight");
  wrong["model.norm.weight"] = at::ones({3});
  extra["model.other.weight"] = at::ones({3});
  EXPECT_NO_THROW(assign_parameters(model->parameters(), source, "test"));
  for (const ParameterMap& bad : {missing, wrong, extra}) {
    EXPECT_THROW(assign_parameters(model->parameters(), bad, "test"), Error);
  }
}

TEST(Decoder, refuses_tokens_outside_the_vocabulary) {
  const auto model = new_decoder(small_config(), 1);
  TokenForest forest;
  forest.add(-1, std::vector<int64_t>{0, 61});
  EXPECT_THROW(model->hidden_states(forest), Error);
  EXPECT_THROW(model->hidden_states(TokenForest{}), Error);
  TokenForest two;
  two.add(-1, std::vector<int64_t>{1, 2});
  EXPECT_THROW(model->hidden_states_at(two, std::vector<int64_t>{2}), Error);
}

}  // namespace
}  // namespace etrlrec
