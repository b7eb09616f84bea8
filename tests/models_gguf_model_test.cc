// Decoders in GGUF files: weights and logits of the reference libraries, round trips of every
// family, and refusals.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "base/check.h"
#include "base/json.h"
#include "gguf_bytes.h"
#include "golden_path.h"
#include "models/decoder.h"
#include "models/gguf_model.h"
#include "models/weights.h"
#include "models_fixture.h"
#include "nn/safetensors.h"
#include "refusals.h"

namespace etrlrec {
namespace {

fs::path scratch(const std::string& name) {
  return fs::path(testing::TempDir()) / ("gguf-" + name);
}

// The folder of a file, without a tokenizer.
fs::path as_folder(const fs::path& path, const std::string& name,
                   at::ScalarType type = at::kFloat) {
  const fs::path folder = scratch(name);
  fs::create_directories(folder);
  const GgufFile file(path);
  LlmConfig config = read_gguf_config(file);
  config.eos_token_ids = {2};
  write_llm_config(config, folder);
  write_gguf_weights(file, config, type, folder / "model.safetensors");
  return folder;
}

fs::path as_gguf(const LanguageModel& model, const LlmConfig& config, GgufTensorType type,
                 const std::string& name) {
  const fs::path source = scratch(name + "-source");
  model.save(source);
  const fs::path path = scratch(name + ".gguf");
  GgufWriter writer(path);
  put_gguf_config(config, type, writer);
  write_gguf_tensors(source, config, type, writer);
  writer.commit();
  return path;
}

// Biases and norms that differ from 0 and 1, too.
std::unique_ptr<LanguageModel> noisy_model(const LlmConfig& config) {
  auto model = new_decoder(config, 3);
  const at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : model->parameters())
    if (tensor.dim() == 1) tensor.add_(at::linspace(-0.4, 0.5, tensor.numel()));
  return model;
}

double largest_share(const at::Tensor& found, const at::Tensor& expected) {
  return ((found - expected).abs().max() / expected.abs().max()).item<double>();
}

TEST(GgufModelGolden, weights_and_configuration_are_those_it_was_made_from) {
  const fs::path source = golden_path() / "decoders" / "llama-tied";
  const fs::path folder = as_folder(golden_path() / "gguf" / "llama-tied.gguf", "tied");
  const ParameterMap found = load_safetensors(folder / "model.safetensors"),
                     expected = load_safetensors(source / "model.safetensors");
  ASSERT_EQ(found.size(), expected.size());
  for (const auto& [name, tensor] : expected)
    EXPECT_TRUE(at::equal(found.at(name), tensor)) << name;
  const LlmConfig a = read_llm_config(folder), b = read_llm_config(source);
  EXPECT_EQ(a.rms_norm_eps, b.rms_norm_eps);
  EXPECT_EQ(a.rope.theta, b.rope.theta);
  EXPECT_EQ(a.head_dim, b.head_dim);
  EXPECT_EQ(a.max_position_embeddings, b.max_position_embeddings);
  EXPECT_EQ(a.tie_word_embeddings, b.tie_word_embeddings);
}

TEST(GgufModelGolden, a_file_of_mixed_types_has_the_logits_of_transformers) {
  const Json golden = read_json(golden_path() / "gguf" / "mixed.json");
  const auto model = load_decoder(as_folder(golden_path() / "gguf" / "mixed.gguf", "mixed"));
  TokenForest forest;
  forest.add(-1, golden.at("ids").get<std::vector<int64_t>>());
  const at::NoGradGuard no_grad;
  const at::Tensor logits = at::mm(model->hidden_states(forest), model->head_weight().t());
  const auto expected = golden.at("logits").get<std::vector<std::vector<float>>>();
  ASSERT_EQ(logits.size(0), std::ssize(expected));
  for (int64_t t = 0; t < logits.size(0); ++t)
    EXPECT_LT(largest_share(logits[t], at::tensor(expected[static_cast<size_t>(t)])), 1e-4) << t;
}

TEST(GgufModel, tiny_llama_of_llama_cpp_has_the_documented_logits) {
  const fs::path folder = fs::path(ETRLREC_SOURCE_DIR) / "../shared/models/llama2-tiny-random-gguf";
  if (!fs::exists(folder)) GTEST_SKIP() << "published checkpoints are not here";
  const Json golden = read_json(folder / "golden_logits_f64.json");
  const auto model = load_decoder(as_folder(folder / "llama-2-tiny-random.gguf", "tiny"));
  TokenForest forest;
  forest.add(-1, golden.at("input_ids").get<std::vector<int64_t>>());
  const at::NoGradGuard no_grad;
  const at::Tensor logits = at::mm(model->hidden_states(forest), model->head_weight().t());
  const Json& positions = golden.at("per_position");
  ASSERT_EQ(logits.size(0), std::ssize(positions));
  for (int64_t t = 0; t < logits.size(0); ++t) {
    const Json& expected = positions[static_cast<size_t>(t)];
    EXPECT_NEAR(logits[t].sum().item<double>(), expected.at("logit_sum").get<double>(), 1e-3);
    const auto [values, ids] = logits[t].topk(8);
    for (int64_t k = 0; k < 8; ++k) {
      const auto at = static_cast<size_t>(k);
      EXPECT_EQ(ids[k].item<int64_t>(), expected.at("top8_ids")[at].get<int64_t>());
      EXPECT_NEAR(values[k].item<double>(), expected.at("top8_logits")[at].get<double>(), 1e-5);
      EXPECT_NEAR(logits[t][k].item<double>(), expected.at("first8")[at].get<double>(), 1e-5);
    }
  }
}

// llama, qwen2 and qwen3; what is written is read again, exactly in fp32 and within the rounding of
// the other types.
TEST(GgufModel, every_family_goes_there_and_back) {
  for (const LlmConfig& config : small_families()) {
    if (config.model_type == "mistral") continue;
    const auto model = noisy_model(config);
    const ParameterMap weights = model->parameters();
    const std::pair<GgufTensorType, double> types[] = {{GgufTensorType::kF32, 0},
                                                       {GgufTensorType::kF16, 0x1p-11},
                                                       {GgufTensorType::kBF16, 0x1p-8},
                                                       {GgufTensorType::kQ8_0, 0.01}};
    for (const auto& [type, share] : types) {
      const std::string name = config.model_type + gguf_block(type).name;
      const fs::path folder = as_folder(as_gguf(*model, config, type, name), name);
      const ParameterMap found = load_safetensors(folder / "model.safetensors");
      ASSERT_EQ(found.size(), weights.size());
      for (const auto& [key, tensor] : weights)
        EXPECT_LE(largest_share(found.at(key), tensor.detach()), share) << name << " " << key;
      const LlmConfig again = read_llm_config(folder);
      EXPECT_EQ(again.model_type, config.model_type);
      EXPECT_EQ(again.rope.type, config.rope.type);
      EXPECT_EQ(again.rope.factor, config.rope.factor);
      EXPECT_EQ(again.rope.original_max_position_embeddings,
                config.rope.original_max_position_embeddings);
      EXPECT_EQ(again.head_dim, config.head_dim);
      EXPECT_EQ(again.rms_norm_eps, config.rms_norm_eps);
      EXPECT_EQ(again.tie_word_embeddings, config.tie_word_embeddings);
    }
  }
}

TEST(GgufModel, weights_are_rounded_to_bfloat16_where_asked) {
  const LlmConfig config = small_config();
  const auto model = noisy_model(config);
  const ParameterMap weights = model->parameters();
  const fs::path folder =
      as_folder(as_gguf(*model, config, GgufTensorType::kF32, "round"), "round", at::kBFloat16);
  for (const auto& [key, tensor] : load_safetensors(folder / "model.safetensors")) {
    EXPECT_EQ(tensor.scalar_type(), at::kBFloat16);
    EXPECT_TRUE(at::equal(tensor, weights.at(key).detach().to(at::kBFloat16))) << key;
  }
}

// A file of one small model whose metadata a test replaces or adds to.
class SmallFile {
 public:
  explicit SmallFile(std::string architecture = "qwen2") {
    const std::string p = architecture + ".";
    put("general.architecture", GgufValueType::kString, gguf_text(architecture));
    number(p + "context_length", 64).number(p + "embedding_length", 8).number(p + "block_count", 1);
    number(p + "feed_forward_length", 16).number(p + "attention.head_count", 2);
    put(p + "attention.layer_norm_rms_epsilon", GgufValueType::kFloat32, gguf_bytes_of(1e-5f));
    tensor("token_embd.weight", {8, 10});
  }
  SmallFile& put(const std::string& key, GgufValueType type, const std::string& value) {
    pairs_[key] = gguf_pair(key, type, value);
    return *this;
  }
  SmallFile& number(const std::string& key, uint32_t value) {
    return put(key, GgufValueType::kUint32, gguf_bytes_of(value));
  }
  SmallFile& text(const std::string& key, const std::string& value) {
    return put(key, GgufValueType::kString, gguf_text(value));
  }
  SmallFile& without(const std::string& key) {
    pairs_.erase(key);
    return *this;
  }
  SmallFile& tensor(const std::string& name, const std::vector<uint64_t>& sizes) {
    uint64_t bytes = 4;
    for (const uint64_t size : sizes) bytes *= size;
    bytes_.tensor(gguf_tensor(name, sizes, 0, bytes_.data.size()));
    bytes_.data.append((bytes + 31) / 32 * 32, '\0');
    return *this;
  }
  void expect_refused(ExitCode code, const std::string& words) const {
    GgufBytes bytes = bytes_;
    for (const auto& [key, pair] : pairs_) bytes.value(pair);
    const fs::path path = bytes.write("small-model.gguf");
    refuses([&] { as_folder(path, "refused"); }, code, words);
  }

 private:
  GgufBytes bytes_;
  std::map<std::string, std::string> pairs_;
};

TEST(GgufModel, one_error_names_all_tensors_that_do_not_fit) {
  SmallFile file;
  file.tensor("blk.0.attn_norm.weight", {9}).tensor("blk.1.attn_norm.weight", {8});
  file.expect_refused(ExitCode::kModel, "\"blk.0.attn_norm.weight\": expected shape 8, found 9");
  file.expect_refused(ExitCode::kModel, "\"blk.0.attn_q.bias\" is missing");
  file.expect_refused(ExitCode::kModel, "\"blk.1.attn_norm.weight\" is not of this model");
}

TEST(GgufModel, refuses_models_that_are_not_computed_here) {
  const auto with = [](const std::string& key, uint32_t value) {
    return SmallFile().number(key, value);
  };
  SmallFile("gemma").expect_refused(ExitCode::kModel, "\"gemma\" is not supported");
  SmallFile().without("general.architecture").expect_refused(ExitCode::kInput, "is missing");
  SmallFile().without("qwen2.block_count").expect_refused(ExitCode::kInput, "is missing");
  with("qwen2.block_count", 1000000).expect_refused(ExitCode::kModel, "layers in a file of 1 tens");
  with("qwen2.embedding_length", 0x80000000).expect_refused(ExitCode::kModel, "is out of range");
  with("qwen2.block_count", 0).expect_refused(ExitCode::kModel, "num_hidden_layers");
  with("qwen2.attention.head_count", 0).expect_refused(ExitCode::kModel, "num_attention_heads");
  with("qwen2.attention.head_count_kv", 3).expect_refused(ExitCode::kModel, "expected a divisor");
  with("qwen2.attention.value_length", 8).expect_refused(ExitCode::kModel, "value_length");
  with("qwen2.rope.dimension_count", 2).expect_refused(ExitCode::kModel, "partial rotation");
  with("qwen2.expert_count", 8).expect_refused(ExitCode::kModel, "expert_count is not supported");
  with("qwen2.attention.sliding_window", 8).expect_refused(ExitCode::kModel, "sliding_window");
  SmallFile()
      .text("qwen2.rope.scaling.type", "yarn")
      .expect_refused(ExitCode::kModel, "\"yarn\" is not supported");
  SmallFile()
      .tensor("rope_freqs.weight", {3})
      .expect_refused(ExitCode::kModel, "expected 2 values");
  SmallFile().tensor("rope_freqs.weight", {2}).expect_refused(ExitCode::kModel, "at least 1");
}

TEST(GgufModel, refuses_to_write_what_gguf_has_no_name_for) {
  const fs::path path = scratch("unwritten.gguf");
  GgufWriter writer(path);
  const LlmConfig mistral = small_families().back();
  refuses([&] { put_gguf_config(mistral, GgufTensorType::kF32, writer); }, ExitCode::kModel,
          "model_type mistral is not written");
}

}  // namespace
}  // namespace etrlrec
