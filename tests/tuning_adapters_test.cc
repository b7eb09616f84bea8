// LoRA and AdaLoRA on a parameter map: which modules, what is trainable, files in PEFT's layout and
// their refusals.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "nn/safetensors.h"
#include "tuning/adapter_files.h"
#include "tuning/adapters.h"

namespace etrlrec {
namespace {

ParameterMap small_map() {
  ParameterMap map;
  map["embed_tokens.weight"] = at::ones({5, 4});
  map["layers.0.q_proj.weight"] = at::ones({6, 4});
  map["layers.0.q_proj.bias"] = at::ones({6});
  map["layers.0.v_proj.weight"] = at::ones({3, 4});
  map["lm_head.weight"] = at::ones({5, 4});
  for (auto& [name, tensor] : map) tensor.requires_grad_(true);
  return map;
}

fs::path folder_with(const std::string& config, const ParameterMap& tensors) {
  const fs::path folder = fs::path(testing::TempDir()) / "adapter";
  fs::remove_all(folder);
  fs::create_directories(folder);
  write_file_atomic(folder / "adapter_config.json", config);
  save_safetensors(tensors, folder / "adapter_model.safetensors");
  return folder;
}

const std::string kPlain =
    R"({"peft_type":"LORA","r":2,"lora_alpha":8,"target_modules":["q_proj"]})";

ParameterMap file_pair() {
  return {{"base_model.model.layers.0.q_proj.lora_A.weight", at::ones({2, 4})},
          {"base_model.model.layers.0.q_proj.lora_B.weight", at::ones({6, 2})}};
}

TEST(Lora, attaches_to_the_targets_and_freezes_the_rest) {
  ParameterMap map = small_map();
  attach_lora(map, {2, 8, {"q_proj"}}, 1);
  EXPECT_EQ(map.size(), 7u);
  for (const auto& [name, tensor] : map)
    EXPECT_EQ(tensor.requires_grad(), is_adapter_parameter(name)) << name;
  EXPECT_EQ(map.at("layers.0.q_proj.lora_B.weight").abs().sum().item<float>(), 0);
  EXPECT_LE(map.at("layers.0.q_proj.lora_A.weight").abs().max().item<float>(), 0.5f);
}

TEST(Lora, without_targets_takes_all_linear_layers_but_the_head) {
  ParameterMap map = small_map();
  attach_lora(map, {2, 8, {}}, 1);
  EXPECT_EQ(map.size(), 9u);
  EXPECT_FALSE(map.contains("lm_head.lora_A.weight"));
}

TEST(Lora, rank_zero_changes_nothing) {
  ParameterMap map = small_map();
  attach_lora(map, {}, 1);
  EXPECT_EQ(map.size(), 5u);
  EXPECT_TRUE(map.at("lm_head.weight").requires_grad());
}

TEST(Lora, scale_follows_the_rank) {
  EXPECT_DOUBLE_EQ((LoraConfig{4, 8, {}}).scale(), 2.0);
  EXPECT_DOUBLE_EQ((LoraConfig{4, 8, {}, true}).scale(), 4.0);
  EXPECT_DOUBLE_EQ(LoraConfig{}.scale(), 0.0);
}

TEST(Lora, the_seed_decides_the_start) {
  ParameterMap a = small_map(), b = small_map(), c = small_map();
  attach_lora(a, {2, 8, {}}, 1);
  attach_lora(b, {2, 8, {}}, 1);
  attach_lora(c, {2, 8, {}}, 2);
  const std::string name = "layers.0.v_proj.lora_A.weight";
  EXPECT_TRUE(at::equal(a.at(name), b.at(name)));
  EXPECT_FALSE(at::equal(a.at(name), c.at(name)));
}

TEST(Lora, merging_adds_the_scaled_product_and_removes_the_pairs) {
  ParameterMap map = small_map();
  const LoraConfig config = load_lora(map, folder_with(kPlain, file_pair()));
  EXPECT_EQ(config.target_modules, std::vector<std::string>{"q_proj"});
  merge_lora(map, config);
  EXPECT_EQ(map.size(), 5u);
  EXPECT_TRUE(at::allclose(map.at("layers.0.q_proj.weight"), at::full({6, 4}, 1.0 + 4 * 2)));
}

TEST(Lora, saved_files_load_to_the_same_adapter) {
  ParameterMap a = small_map(), b = small_map();
  const LoraConfig config{3, 7, {"v_proj"}};
  attach_lora(a, config, 5);
  const fs::path folder = fs::path(testing::TempDir()) / "saved-adapter";
  save_lora(a, config, "../base", folder);
  const LoraConfig loaded = load_lora(b, folder);
  EXPECT_EQ(loaded.r, 3);
  EXPECT_DOUBLE_EQ(loaded.scale(), config.scale());
  for (const auto& [name, tensor] : a) EXPECT_TRUE(at::equal(tensor, b.at(name))) << name;
}

TEST(Lora, written_targets_name_exactly_the_adapted_modules) {
  ParameterMap map = small_map();
  map["layers.1.q_proj.weight"] = at::ones({6, 4});
  attach_lora(map, {3, 7, {"layers.0.q_proj", "v_proj"}}, 5);
  const fs::path folder = fs::path(testing::TempDir()) / "exact-targets";
  save_lora(map, {3, 7, {}}, "../base", folder);
  EXPECT_EQ(read_json(folder / "adapter_config.json")["target_modules"],
            Json({"layers.0.q_proj", "v_proj"}));
}

TEST(Lora, ranks_and_alphas_of_single_modules_are_honoured) {
  const std::string config =
      kPlain.substr(0, kPlain.size() - 1) +
      R"(,"rank_pattern":{"layers.0.v_proj":1},"alpha_pattern":{"v_proj":3}})";
  ParameterMap tensors = file_pair();
  tensors["base_model.model.layers.0.v_proj.lora_A.weight"] = at::ones({1, 4});
  tensors["base_model.model.layers.0.v_proj.lora_B.weight"] = at::ones({3, 1});
  ParameterMap map = small_map();
  const LoraConfig loaded = load_lora(map, folder_with(config, tensors));
  EXPECT_DOUBLE_EQ(loaded.scale("layers.0.q_proj"), 4);
  EXPECT_DOUBLE_EQ(loaded.scale("layers.0.v_proj"), 3);
  const fs::path folder = fs::path(testing::TempDir()) / "patterns";
  save_lora(map, loaded, "../base", folder);
  EXPECT_EQ(read_json(folder / "adapter_config.json")["rank_pattern"],
            Json({{"layers.0.v_proj", 1}}));
  merge_lora(map, loaded);
  EXPECT_TRUE(at::allclose(map.at("layers.0.q_proj.weight"), at::full({6, 4}, 1.0 + 4 * 2)));
  EXPECT_TRUE(at::allclose(map.at("layers.0.v_proj.weight"), at::full({3, 4}, 1.0 + 3 * 1)));

  ParameterMap fresh = small_map();
  LoraConfig own{2, 8, {}};
  own.rank_pattern = {{"v_proj", 3}};
  attach_lora(fresh, own, 1);
  EXPECT_EQ(fresh.at("layers.0.v_proj.lora_A.weight").size(0), 3);
  EXPECT_EQ(fresh.at("layers.0.q_proj.lora_A.weight").size(0), 2);
  own.rank_pattern = {{"v_proj", 3}, {"layers.0.v_proj", 2}};
  EXPECT_THROW(own.rank("layers.0.v_proj"), Error);
  EXPECT_EQ(own.rank("layers.1.v_proj"), 3);
}

TEST(Lora, all_linear_is_a_name) {
  ParameterMap map = small_map();
  attach_lora(map, {2, 8, {"all-linear"}}, 1);
  EXPECT_EQ(map.size(), 9u);
}

std::string error_of(const std::string& field) {
  ParameterMap map = small_map();
  try {
    load_lora(map,
              folder_with(kPlain.substr(0, kPlain.size() - 1) + "," + field + "}", file_pair()));
  } catch (const Error& error) {
    EXPECT_EQ(map.size(), 5u);
    EXPECT_TRUE(map.at("lm_head.weight").requires_grad());
    return error.what();
  }
  return "";
}

TEST(Lora, names_the_field_that_it_does_not_compute) {
  for (const std::string field :
       {R"("use_dora":true)", R"("fan_in_fan_out":true)", R"("bias":"lora_only")",
        R"("modules_to_save":["lm_head"])", R"("layer_replication":[[0,1]])",
        R"("alora_invocation_tokens":[5])", R"("use_bdlora":{"nblocks":2})",
        R"("target_parameters":["experts"])", R"("trainable_token_indices":[3])",
        R"("init_lora_weights":"pissa")", R"("lora_bias":true)", R"("of_the_future":"on")",
        R"("rank_pattern":{"^q.*":2})"})
    EXPECT_NE(error_of(field).find(field.substr(0, field.find(':'))), std::string::npos) << field;
  for (const std::string field :
       {R"("use_dora":false)", R"("modules_to_save":null)", R"("alpha_pattern":{})",
        R"("init_lora_weights":"gaussian")", R"("megatron_core":"megatron.core")",
        R"("layers_to_transform":[0])", R"("lora_dropout":0.1)", R"("of_the_future":null)"})
    EXPECT_EQ(error_of(field), "") << field;
}

TEST(AdaLora, attaches_the_singular_value_form) {
  ParameterMap map = small_map();
  LoraConfig config{3, 6, {"q_proj"}};
  config.adalora = AdaLoraConfig{};
  attach_lora(map, config, 1);
  EXPECT_EQ(map.size(), 8u);
  EXPECT_EQ(map.at("layers.0.q_proj.lora_A").sizes(), (std::vector<int64_t>{3, 4}));
  EXPECT_EQ(map.at("layers.0.q_proj.lora_B").sizes(), (std::vector<int64_t>{6, 3}));
  EXPECT_TRUE(at::equal(map.at("layers.0.q_proj.lora_E"), at::zeros({3, 1})));
  for (const auto& [name, tensor] : map)
    EXPECT_EQ(tensor.requires_grad(), is_adapter_parameter(name)) << name;
  EXPECT_DOUBLE_EQ(config.scale(), 6 / (3 + 1e-5));
  config.use_rslora = true;
  ParameterMap other = small_map();
  EXPECT_THROW(attach_lora(other, config, 1), Error);
}

TEST(AdaLora, refuses_folders_whose_ranks_do_not_fit) {
  const std::string plain =
      R"({"peft_type":"ADALORA","init_r":3,"lora_alpha":6,"total_step":9,"rank_pattern":)";
  const std::string module = "base_model.model.layers.0.q_proj.";
  const ParameterMap two{{module + "lora_A", at::ones({2, 4})},
                         {module + "lora_B", at::ones({6, 2})},
                         {module + "lora_E", at::ones({2, 1})}};
  const auto load = [&](const std::string& pattern, const ParameterMap& tensors) {
    ParameterMap map = small_map();
    return load_lora(map, folder_with(plain + pattern + "}", tensors));
  };
  EXPECT_EQ(load(R"({"layers.0.q_proj.lora_E":[true,false,true]})", two).adalora->total_step, 9);
  EXPECT_THROW(load(R"({"layers.0.q_proj.lora_E":[true,true,true]})", two), Error);
  EXPECT_THROW(load(R"({"layers.0.q_proj.lora_E":[true,true]})", two), Error);
  EXPECT_THROW(load(R"({"layers.0.v_proj.lora_E":[true,false,true]})", two), Error);
  EXPECT_THROW(load(R"({"layers.0.q_proj":[true,false,true]})", two), Error);
  EXPECT_THROW(load("null", two), Error);
  ParameterMap incomplete = two;
  incomplete.erase(module + "lora_E");
  EXPECT_THROW(load(R"({"layers.0.q_proj.lora_E":[true,false,true]})", incomplete), Error);
  EXPECT_THROW(load("null", file_pair()), Error);
}

TEST(Lora, refuses_targets_that_match_nothing_and_a_second_adapter) {
  ParameterMap map = small_map();
  EXPECT_THROW(attach_lora(map, {2, 8, {"k_proj"}}, 1), Error);
  EXPECT_TRUE(map.at("lm_head.weight").requires_grad());
  attach_lora(map, {2, 8, {}}, 1);
  EXPECT_THROW(attach_lora(map, {2, 8, {}}, 1), Error);
}

TEST(Lora, refuses_bad_ranks_and_alphas) {
  ParameterMap map = small_map();
  EXPECT_THROW(attach_lora(map, {-1, 8, {}}, 1), Error);
  EXPECT_THROW(attach_lora(map, {2, 0, {}}, 1), Error);
}

TEST(Lora, refuses_options_that_change_the_result) {
  for (const std::string option :
       {R"("use_dora":true)", R"("bias":"all")", R"("rank_pattern":{"q_proj":4})",
        R"("modules_to_save":["lm_head"])", R"("fan_in_fan_out":true)"}) {
    ParameterMap map = small_map();
    const std::string config = kPlain.substr(0, kPlain.size() - 1) + "," + option + "}";
    EXPECT_THROW(load_lora(map, folder_with(config, file_pair())), Error) << option;
  }
  ParameterMap map = small_map();
  EXPECT_THROW(
      load_lora(map, folder_with(R"({"peft_type":"ADALORA","r":2,"lora_alpha":8})", file_pair())),
      Error);
}

TEST(Lora, refuses_files_that_do_not_fit_the_model) {
  const auto refused = [](ParameterMap tensors) {
    ParameterMap map = small_map();
    EXPECT_THROW(load_lora(map, folder_with(kPlain, tensors)), Error);
  };
  refused({});
  refused({{"base_model.model.layers.0.q_proj.lora_A.weight", at::ones({2, 4})}});
  ParameterMap wrong = file_pair();
  wrong["base_model.model.layers.0.q_proj.lora_A.weight"] = at::ones({3, 4});
  refused(wrong);
  wrong = file_pair();
  wrong["base_model.model.layers.9.q_proj.lora_A.weight"] = at::ones({2, 4});
  refused(wrong);
  wrong = file_pair();
  wrong["lm_head.weight"] = at::ones({2, 4});
  refused(wrong);
}

}  // namespace
}  // namespace etrlrec
