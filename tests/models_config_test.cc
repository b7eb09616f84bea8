// config.json of the decoder families: round trips, refusals by name.
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "models/decoder.h"
#include "models_fixture.h"

namespace etrlrec {
namespace {

std::string refusal(const std::function<void(OrderedJson&)>& change) {
  const fs::path folder = fs::path(testing::TempDir()) / "refused-llm";
  write_llm_config(small_config(), folder);
  OrderedJson json = OrderedJson::parse(read_file(folder / "config.json"));
  change(json);
  write_json_atomic(folder / "config.json", json);
  try {
    read_llm_config(folder);
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

TEST(LlmConfig, written_files_are_read_back) {
  EXPECT_EQ(refusal([](OrderedJson&) {}), "accepted");
}

TEST(LlmConfig, refuses_by_name_what_it_does_not_compute) {
  const auto expect_named = [](const std::string& key, const Json& value) {
    EXPECT_NE(refusal([&](OrderedJson& json) { json[key] = value; }).find(key), std::string::npos)
        << key;
  };
  expect_named("model_type", "gpt2");
  expect_named("hidden_act", "gelu");
  expect_named("rope_scaling", {{"type", "yarn"}, {"factor", 2.0}});
  expect_named("rope_parameters", {{"rope_type", "llama3"}, {"rope_theta", 10000.0}});  // no factor
  expect_named("rope_scaling", {{"rope_type", "linear"}, {"factor", 0.5}});
  expect_named("layer_types", {"full_attention", "linear_attention"});
  expect_named("layer_types", Json::array({"full_attention"}));
  expect_named("attention_bias", true);
  expect_named("mlp_bias", true);
  expect_named("head_dim", 13);
  expect_named("partial_rotary_factor", 0.5);
  expect_named("quantization_config", {{"bits", 4}});
  expect_named("num_key_value_heads", 3);
  expect_named("eos_token_id", Json::array());
  expect_named("vocab_size", 0);
}

TEST(LlmConfig, fields_of_every_family_survive_a_round_trip) {
  LlmConfig config = small_config();
  config.model_type = "mistral";
  config.head_dim = 16;
  config.sliding_window = 5;
  config.sliding_layers = {false, true};
  config.eos_token_ids = {3, 7};
  config.rope = {5e5, "llama3", 8, 1, 4, 64};
  const fs::path folder = fs::path(testing::TempDir()) / "round-trip-llm";
  write_llm_config(config, folder);
  const LlmConfig read = read_llm_config(folder);
  EXPECT_EQ(read.head_dim, 16);
  EXPECT_EQ(read.window(0), 0);
  EXPECT_EQ(read.window(1), 5);
  EXPECT_EQ(read.eos_token_ids, config.eos_token_ids);
  EXPECT_EQ(read.rope.type, "llama3");
  EXPECT_EQ(read.rope.theta, 5e5);
  EXPECT_EQ(read.rope.original_max_position_embeddings, 64);
}

TEST(LlmConfig, has_the_end_tokens_of_both_files) {
  const fs::path folder = fs::path(testing::TempDir()) / "end-tokens-llm";
  const auto read = [&](const Json& config, const Json& generation) {
    write_llm_config(small_config(), folder);
    OrderedJson json = OrderedJson::parse(read_file(folder / "config.json"));
    json["eos_token_id"] = config;
    write_json_atomic(folder / "config.json", json);
    write_json_atomic(folder / "generation_config.json", OrderedJson{{"eos_token_id", generation}});
    return read_llm_config(folder).eos_token_ids;
  };
  EXPECT_EQ(read(3, {3, 7}), (std::vector<int64_t>{3, 7}));
  EXPECT_EQ(read(3, 7), (std::vector<int64_t>{3, 7}));
  EXPECT_EQ(read(nullptr, {5, 6}), (std::vector<int64_t>{5, 6}));
  EXPECT_EQ(read(4, nullptr), (std::vector<int64_t>{4}));
  EXPECT_THROW(read(3, Json::array()), Error);
  EXPECT_THROW(read(3, "x"), Error);
}

}  // namespace
}  // namespace etrlrec
