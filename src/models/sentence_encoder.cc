#include "models/sentence_encoder.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "models/config_fields.h"
#include "models/weights.h"

namespace etrlrec {
namespace {

using at::Tensor;

constexpr int64_t kBatchTokens = 4096;

std::string layer_name(int64_t layer) { return fmt::format("encoder.layer.{}", layer); }

ParameterMap bert_shapes(const BertConfig& c) {
  ParameterGroups groups;
  const auto add = [&](const std::string& name, std::vector<int64_t> shape) {
    groups.push_back({{name, std::move(shape)}});
  };
  const auto add_linear = [&](const std::string& name, int64_t out, int64_t in) {
    add(name + ".weight", {out, in});
    add(name + ".bias", {out});
  };
  const auto add_norm = [&](const std::string& name) {
    add(name + ".weight", {c.hidden_size});
    add(name + ".bias", {c.hidden_size});
  };
  add("embeddings.word_embeddings.weight", {c.vocab_size, c.hidden_size});
  add("embeddings.position_embeddings.weight", {c.max_position_embeddings, c.hidden_size});
  add("embeddings.token_type_embeddings.weight", {c.type_vocab_size, c.hidden_size});
  add_norm("embeddings.LayerNorm");
  for (int64_t i = 0; i < c.num_hidden_layers; ++i) {
    const std::string layer = layer_name(i);
    for (const char* part : {".attention.self.query", ".attention.self.key",
                             ".attention.self.value", ".attention.output.dense"})
      add_linear(layer + part, c.hidden_size, c.hidden_size);
    add_norm(layer + ".attention.output.LayerNorm");
    add_linear(layer + ".intermediate.dense", c.intermediate_size, c.hidden_size);
    add_linear(layer + ".output.dense", c.hidden_size, c.intermediate_size);
    add_norm(layer + ".output.LayerNorm");
  }
  return allocate_parameters(groups);
}

// What a file holds besides: positions as a constant, and the head that judges pairs of sentences.
ParameterMap encoder_tensors(const fs::path& folder) {
  ParameterMap kept;
  for (const auto& [name, tensor] : load_weights(folder)) {
    const std::string bare = name.starts_with("bert.") ? name.substr(5) : name;
    const bool needed = bare.starts_with("embeddings.") || bare.starts_with("encoder.");
    if (needed && !bare.ends_with("position_ids")) kept.emplace(bare, tensor.to(at::kFloat));
  }
  return kept;
}

void check_pooling(const fs::path& folder) {
  const fs::path file = folder / "1_Pooling/config.json";
  if (!fs::exists(file)) return;  // the mean, as published
  const Json json = read_json(file);
  for (const auto& [key, value] : json.items()) {
    if (!key.starts_with("pooling_mode_") || !value.is_boolean()) continue;
    CHECK(value.get<bool>() == (key == "pooling_mode_mean_tokens"), kModel,
          "{}: {}: expected the mean over tokens and nothing else", file.string(), key);
  }
}

}  // namespace

BertConfig read_bert_config(const fs::path& folder) {
  const std::string name = (folder / "config.json").string();
  CHECK(fs::exists(name), kModel, "{}: no sentence encoder: config.json is missing",
        folder.string());
  const Json json = read_json(name);
  const auto expect = [&](const char* key, const char* wanted) {
    const auto found = get_or<std::string>(json, key, wanted, name);
    CHECK(found == wanted, kModel, "{}: {}: expected {}, found {}", name, key, wanted, found);
  };
  CHECK(get<std::string>(json, "model_type", name) == "bert", kModel,
        "{}: model_type: expected bert, found {}\nhint: ./run get minilm gets one", name,
        get<std::string>(json, "model_type", name));
  expect("hidden_act", "gelu");
  expect("position_embedding_type", "absolute");
  refuse_quantization(json, name);
  BertConfig config;
  const auto size = [&](const char* key) {
    const auto value = get<int64_t>(json, key, name);
    check_positive(name, key, value);
    CHECK(value <= int64_t{1} << 24, kModel, "{}: {}: found {}", name, key, value);
    return value;
  };
  config.vocab_size = size("vocab_size");
  config.hidden_size = size("hidden_size");
  config.num_hidden_layers = size("num_hidden_layers");
  config.num_attention_heads = size("num_attention_heads");
  config.intermediate_size = size("intermediate_size");
  config.max_position_embeddings = size("max_position_embeddings");
  config.type_vocab_size = get_or<int64_t>(json, "type_vocab_size", 2, name);
  check_positive(name, "type_vocab_size", config.type_vocab_size);
  config.layer_norm_eps = get_or<double>(json, "layer_norm_eps", 1e-12, name);
  CHECK(config.hidden_size % config.num_attention_heads == 0, kModel,
        "{}: hidden_size {} is no multiple of the {} heads", name, config.hidden_size,
        config.num_attention_heads);
  return config;
}

SentenceEncoder::SentenceEncoder(const fs::path& folder)
    : config_(read_bert_config(folder)), weights_(bert_shapes(config_)) {
  check_pooling(folder);
  const at::NoGradGuard no_grad;
  assign_parameters(weights_, encoder_tensors(folder), folder.string());
}

const Tensor& SentenceEncoder::weight(const std::string& name) const { return weights_.at(name); }

Tensor SentenceEncoder::linear(const std::string& name, const Tensor& x) const {
  return at::linear(x, weight(name + ".weight"), weight(name + ".bias"));
}

Tensor SentenceEncoder::norm(const std::string& name, const Tensor& x) const {
  return at::layer_norm(x, {config_.hidden_size}, weight(name + ".weight"), weight(name + ".bias"),
                        config_.layer_norm_eps);
}

Tensor SentenceEncoder::attend(const std::string& layer, const Tensor& x,
                               const Tensor& bias) const {
  const int64_t batch = x.size(0), length = x.size(1), heads = config_.num_attention_heads;
  const auto split = [&](const char* part) {
    return linear(layer + ".attention.self." + part, x)
        .view({batch, length, heads, config_.hidden_size / heads})
        .transpose(1, 2);
  };
  const double scale = 1 / std::sqrt(static_cast<double>(config_.hidden_size / heads));
  const Tensor weights =
      at::softmax(at::matmul(split("query"), split("key").transpose(2, 3)) * scale + bias, -1);
  const Tensor out = at::matmul(weights, split("value"))
                         .transpose(1, 2)
                         .reshape({batch, length, config_.hidden_size});
  return linear(layer + ".attention.output.dense", out);
}

Tensor SentenceEncoder::hidden_states(const Tensor& ids, const Tensor& mask) const {
  const at::NoGradGuard no_grad;
  const Tensor& words = weight("embeddings.word_embeddings.weight");
  Tensor x = at::embedding(words, ids) +
             weight("embeddings.position_embeddings.weight").narrow(0, 0, ids.size(1)) +
             weight("embeddings.token_type_embeddings.weight")[0];
  x = norm("embeddings.LayerNorm", x);
  const Tensor hidden = mask.eq(0).view({ids.size(0), 1, 1, ids.size(1)});
  const Tensor bias = at::zeros(hidden.sizes(), x.options())
                          .masked_fill(hidden, -std::numeric_limits<float>::infinity());
  for (int64_t i = 0; i < config_.num_hidden_layers; ++i) {
    const std::string layer = layer_name(i);
    x = norm(layer + ".attention.output.LayerNorm", x + attend(layer, x, bias));
    const Tensor inner = at::gelu(linear(layer + ".intermediate.dense", x));
    x = norm(layer + ".output.LayerNorm", x + linear(layer + ".output.dense", inner));
  }
  return x;
}

Tensor SentenceEncoder::encode(std::span<const std::vector<int64_t>> texts,
                               const std::function<void(int64_t, int64_t)>& progress) const {
  const auto length_of = [&](int64_t text) {
    return std::min(std::ssize(texts[static_cast<size_t>(text)]), config_.max_position_embeddings);
  };
  // Texts of like length together.
  std::vector<int64_t> order(texts.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return length_of(a) < length_of(b); });
  const Tensor out = at::empty({std::ssize(texts), config_.hidden_size});
  for (size_t begin = 0, end = 0; begin < order.size(); begin = end) {
    int64_t longest = 0;
    for (; end < order.size(); ++end) {
      const int64_t length = length_of(order[end]);
      CHECK(length > 0, kInput, "sentence encoder: text {} has no token", order[end]);
      if (end > begin && length * static_cast<int64_t>(end - begin + 1) > kBatchTokens) break;
      longest = length;
    }
    const auto rows = static_cast<int64_t>(end - begin);
    const Tensor ids = at::zeros({rows, longest}, at::kLong), mask = at::zeros_like(ids);
    for (int64_t row = 0; row < rows; ++row) {
      const int64_t text = order[begin + static_cast<size_t>(row)], length = length_of(text);
      const std::vector<int64_t>& tokens = texts[static_cast<size_t>(text)];
      int64_t* const out_ids = ids.data_ptr<int64_t>() + row * longest;
      for (int64_t t = 0; t < length; ++t) {
        const int64_t id = tokens[static_cast<size_t>(t)];
        CHECK(id >= 0 && id < config_.vocab_size, kModel,
              "sentence encoder: token {} is out of range [0, {})", id, config_.vocab_size);
        out_ids[t] = id;
      }
      mask[row].narrow(0, 0, length).fill_(1);
    }
    const Tensor shown = mask.unsqueeze(2).to(at::kFloat);
    const Tensor sums = (hidden_states(ids, mask) * shown).sum(1) / shown.sum(1);
    const Tensor unit = sums / sums.norm(2, 1, true).clamp_min(1e-12);
    for (int64_t row = 0; row < rows; ++row)
      out[order[begin + static_cast<size_t>(row)]].copy_(unit[row]);
    if (progress) progress(static_cast<int64_t>(end), std::ssize(texts));
  }
  return out;
}

}  // namespace etrlrec
