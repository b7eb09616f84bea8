// Model folders with two truths: which weights are read, and what is said where none can be.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>

#include "base/io.h"
#include "base/json.h"
#include "golden_path.h"
#include "models/decoder.h"
#include "models/gguf_model.h"
#include "models/weights.h"
#include "models_fixture.h"
#include "nn/safetensors.h"
#include "refusals.h"

namespace etrlrec {
namespace {

namespace fs = std::filesystem;

class PublishedFolder : public testing::Test {
 protected:
  void SetUp() override {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void copy(const std::string& golden) {
    for (const auto& entry : fs::directory_iterator(golden_path() / "decoders" / golden))
      fs::copy_file(entry.path(), folder_ / entry.path().filename());
  }
  void change_config(const std::function<void(OrderedJson&)>& change) {
    OrderedJson json = OrderedJson::parse(read_file(folder_ / "config.json"));
    change(json);
    write_json_atomic(folder_ / "config.json", json);
  }
  at::Tensor logits() const {
    const at::NoGradGuard no_grad;
    const auto model = load_decoder(folder_);
    TokenForest forest;
    forest.add(-1, std::vector<int64_t>{1, 2, 3});
    return at::mm(model->hidden_states(forest), model->head_weight().t());
  }
  const fs::path folder_ = fs::path(testing::TempDir()) / "two-truths";
};

TEST_F(PublishedFolder, a_single_file_is_read_before_an_index) {
  copy("qwen2-sharded");
  const at::Tensor sharded = logits();
  ParameterMap weights = load_weights(folder_);
  for (auto& [name, tensor] : weights) tensor = tensor.clone();
  weights["model.norm.weight"] = weights["model.norm.weight"] * 2;
  save_safetensors(weights, folder_ / "model.safetensors");
  const at::Tensor single = logits();
  EXPECT_FALSE(at::equal(sharded, single));
  EXPECT_EQ(weight_files(folder_), std::vector<std::string>{"model.safetensors"});
  fs::remove(folder_ / "model-00001-of-00002.safetensors");  // no matter now
  EXPECT_TRUE(at::equal(logits(), single));
  fs::remove(folder_ / "model.safetensors");
  refuses([&] { logits(); }, ExitCode::kInput, "which is not in the folder");
}

TEST_F(PublishedFolder, buffers_that_no_index_lists_are_no_error) {
  copy("qwen2-sharded");
  const at::Tensor before = logits();
  const std::string shard = weight_files(folder_).back();
  ParameterMap tensors;
  for (const auto& [name, tensor] : load_safetensors(folder_ / shard))
    tensors[name] = tensor.clone();
  for (const char* buffer : {"inv_freq", "cos_cached", "sin_cached"})
    tensors[std::string("model.layers.0.self_attn.rotary_emb.") + buffer] = at::ones({4});
  save_safetensors(tensors, folder_ / shard);
  EXPECT_TRUE(at::equal(logits(), before));
  tensors["model.layers.0.other"] = at::ones({4});
  save_safetensors(tensors, folder_ / shard);
  refuses([&] { logits(); }, ExitCode::kModel, "model.layers.0.other");
}

TEST_F(PublishedFolder, a_stored_head_wins_over_the_tied_flag) {
  copy("llama-tied");
  const at::Tensor tied = logits();
  ParameterMap weights;
  for (const auto& [name, tensor] : load_weights(folder_)) weights[name] = tensor.clone();
  weights["lm_head.weight"] = weights.at("model.embed_tokens.weight").to(at::kDouble);
  weights["lm_head.weight"] = weights["lm_head.weight"].to(at::kFloat);
  save_safetensors(weights, folder_ / "model.safetensors");
  EXPECT_TRUE(at::equal(logits(), tied));  // a copy is no other head
  EXPECT_TRUE(load_decoder(folder_)->config().tie_word_embeddings);

  weights["lm_head.weight"] = weights["lm_head.weight"] * 2;
  save_safetensors(weights, folder_ / "model.safetensors");
  EXPECT_TRUE(at::equal(logits(), tied * 2));
  const auto model = load_decoder(folder_);
  EXPECT_FALSE(model->config().tie_word_embeddings);
  const fs::path saved = folder_ / "saved";
  model->save(saved);
  EXPECT_FALSE(read_llm_config(saved).tie_word_embeddings);
  EXPECT_TRUE(at::equal(load_decoder(saved)->head_weight(), weights["lm_head.weight"]));
}

TEST_F(PublishedFolder, other_formats_are_named_with_the_way_to_convert_them) {
  copy("llama-tied");
  fs::remove(folder_ / "model.safetensors");
  refuses([&] { logits(); }, ExitCode::kInput, "found neither");
  write_file_atomic(folder_ / "model.q4.gguf", "x");
  refuses([&] { logits(); }, ExitCode::kModel, "etrlrec import");
  write_file_atomic(folder_ / "pytorch_model.bin", "x");
  refuses([&] { logits(); }, ExitCode::kModel, "save_pretrained");
}

TEST_F(PublishedFolder, fields_that_a_config_lacks_are_those_of_transformers) {
  copy("mistral-swa");
  const auto read = [&](const std::string& type, std::initializer_list<const char*> absent) {
    fs::copy_file(golden_path() / "decoders/mistral-swa/config.json", folder_ / "config.json",
                  fs::copy_options::overwrite_existing);
    change_config([&](OrderedJson& json) {
      json["model_type"] = type;
      for (const char* key : {"sliding_window", "layer_types"})
        if (type == "llama") json.erase(key);
      for (const char* key : absent) json.erase(key);
    });
    return read_llm_config(folder_);
  };
  EXPECT_EQ(read("llama", {"max_position_embeddings"}).max_position_embeddings, 2048);
  EXPECT_EQ(read("mistral", {"max_position_embeddings"}).max_position_embeddings, 131072);
  EXPECT_EQ(read("mistral", {"sliding_window", "layer_types"}).sliding_window, 4096);
  const LlmConfig llama = read("llama", {"num_key_value_heads"});
  EXPECT_EQ(llama.num_key_value_heads, llama.num_attention_heads);
  change_config([](OrderedJson& json) { json["hidden_act"] = "swish"; });
  EXPECT_NO_THROW(read_llm_config(folder_));
  change_config([](OrderedJson& json) { json["hidden_act"] = "gelu"; });
  refuses([&] { read_llm_config(folder_); }, ExitCode::kModel, "hidden_act");
}

}  // namespace
}  // namespace etrlrec
