// Forward pass. Linear layers and norms run over all tokens of all trees at once; attention runs
// over trees of equal length, and cross attention over all trees of one source, together.
#include "models/t5.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "base/rng.h"
#include "models/t5_cache.h"
#include "models/t5_trees.h"
#include "models/weights.h"
#include "nn/embedding.h"

namespace etrlrec {
namespace {

using at::Tensor;

Tensor ids_tensor(const std::vector<int64_t>& ids) { return at::tensor(ids, at::kLong); }

// Of every tree of a forest whose roots all own a source text.
std::vector<int64_t> sources_of_trees(const TokenForest& forest) {
  std::vector<int64_t> sources;
  for (const Segment& segment : forest.segments) {
    if (segment.parent >= 0) continue;
    CHECK(segment.source >= 0, kUsage,
          "T5: expected roots with a source text, which the encoder reads");
    sources.push_back(segment.source);
  }
  return sources;
}

}  // namespace

T5::T5(const T5Config& config, Memory memory, const Numerics& numerics)
    : LanguageModel(Storage::kFloat, numerics), config_(config) {
  const ParameterGroups groups = t5_parameter_groups(config);
  parameters_ = memory == Memory::kAllocated
                    ? allocate_parameters(groups, Storage::kFloat, numerics)
                    : describe_parameters(groups);
}

int64_t T5::max_length() const { return std::numeric_limits<int64_t>::max(); }

T5Weights T5::weights() const {
  T5Weights weights(parameters_, config_, adapters_.pass(noise_), prompts_.table());
  weights.numerics = numerics();
  return weights;
}

StateRows T5::encode(std::span<const std::vector<int64_t>> sources) const {
  CHECK(!sources.empty(), kInput, "T5: expected at least one source text");
  TokenForest rows;
  std::vector<int64_t> lengths;
  for (const std::vector<int64_t>& source : sources) {
    rows.add(-1, source);
    lengths.push_back(std::ssize(source));
  }
  return encode(
      {embed_forest(embed_tokens(), prompts_.table(), rows, noise_, numerics()), lengths});
}

StateRows T5::encode(const StateRows& inputs_embeds) const {
  check_rows(inputs_embeds, config_.d_model, "T5 encoder");
  const T5Weights weights = this->weights();
  const std::vector<RowRun> runs = equal_runs(inputs_embeds.lengths);
  const int64_t longest =
      *std::max_element(inputs_embeds.lengths.begin(), inputs_embeds.lengths.end());
  const Tensor bias = relative_position_bias(weights.encoder, config_, true, 0, longest, longest);
  ResidualStream x(inputs_embeds.states, config_.layer_norm_epsilon, numerics());
  for (const T5Block& block : weights.encoder.blocks) {
    const Tensor qkv = linear(x.normed(block.self_norm), block.qkv, numerics());
    x.add(linear(self_attention(qkv, runs, bias, config_.num_heads), block.o, numerics()));
    x.add(feed_forward(block, x.normed(block.feed_forward_norm), numerics()));
  }
  return {x.normed(weights.encoder.final_layer_norm), inputs_embeds.lengths};
}

// rows: the tokens that are asked for, null: all.
Tensor T5::states_at(const TokenForest& forest, const StateRows& encoded,
                     std::span<const int64_t> source_of_tree,
                     const std::vector<int64_t>* rows) const {
  check_rows(encoded, config_.d_model, "T5 decoder: encoder states");
  const T5Weights weights = this->weights();
  const T5Trees trees = plan_trees(forest, weights.decoder, config_);
  CHECK(source_of_tree.size() == trees.lengths.size(), kInput,
        "T5 decoder: expected the encoder rows of {} rows, found {}", trees.lengths.size(),
        source_of_tree.size());
  check_sources(source_of_tree, encoded);
  const std::vector<RowRun> cross_runs = source_runs(trees.lengths, source_of_tree);
  const Tensor bias =
      relative_position_bias(weights.decoder, config_, false, 0, trees.longest, trees.longest);
  Tensor inputs = embed_forest(weights.shared, weights.prompt_embeddings, forest, {}, numerics());
  if (!trees.order.empty()) inputs = inputs.index_select(0, ids_tensor(trees.order));
  ResidualStream x(inputs, config_.layer_norm_epsilon, numerics());
  for (const T5Block& block : weights.decoder.blocks) {
    const Tensor qkv = linear(x.normed(block.self_norm), block.qkv, numerics());
    x.add(linear(self_attention(qkv, trees.runs, bias, config_.num_heads), block.o, numerics()));
    const auto sources = source_heads(linear(encoded.states, block.cross_kv, numerics()),
                                      encoded.lengths, config_.num_heads);
    const Tensor q = linear(x.normed(block.cross_norm), block.cross_q, numerics());
    x.add(linear(cross_attention(q, cross_runs, sources), block.cross_o, numerics()));
    x.add(feed_forward(block, x.normed(block.feed_forward_norm), numerics()));
  }
  const Tensor states = head_input(x, weights.decoder, config_);
  if (rows == nullptr)
    return trees.place.empty() ? states : states.index_select(0, ids_tensor(trees.place));
  std::vector<int64_t> places;
  for (int64_t row : *rows) {
    CHECK(row >= 0 && row < forest.num_tokens(), kUsage,
          "hidden states: expected tokens in [0, {}), found {}", forest.num_tokens(), row);
    places.push_back(trees.place.empty() ? row : trees.place[static_cast<size_t>(row)]);
  }
  return states.index_select(0, ids_tensor(places));
}

Tensor T5::decode(const TokenForest& forest, const StateRows& encoded,
                  std::span<const int64_t> source_of_tree) const {
  return states_at(forest, encoded, source_of_tree, nullptr);
}

Tensor T5::hidden_states(const TokenForest& forest) const {
  return states_at(forest, encode(forest.sources), sources_of_trees(forest), nullptr);
}

Tensor T5::hidden_states_at(const TokenForest& forest, std::span<const int64_t> rows) const {
  const std::vector<int64_t> wanted(rows.begin(), rows.end());
  return states_at(forest, encode(forest.sources), sources_of_trees(forest), &wanted);
}

// ---- Cached decoding

std::unique_ptr<KvCache> T5::new_cache(int64_t rows, int64_t capacity) const {
  CHECK(capacity >= 0, kUsage, "prefill: expected a capacity of at least 0, found {}", capacity);
  return std::make_unique<T5Rows>(rows, capacity);
}

void T5::admit(KvCache& cache, const TokenForest& prompts, std::span<const int64_t> segment_of_row,
               Tensor& last_hidden, std::span<SharedPromptKeys> keys) const {
  const at::NoGradGuard no_grad;
  CHECK(keys.empty(), kUsage, "T5: an encoder's prompts cannot be continued");
  CHECK(std::ssize(prompts.segments) == prompts.num_tokens() &&
            std::all_of(prompts.ids.begin(), prompts.ids.end(),
                        [&](int64_t id) { return id == config_.decoder_start_token_id; }),
        kUsage, "T5: expected texts that begin with the start token alone");
  const std::vector<int64_t> source_of_tree = sources_of_trees(prompts);
  CHECK(source_of_tree.size() == prompts.segments.size(), kUsage,
        "T5: expected rows, found a tree of segments");
  std::vector<int64_t> source_of_row;
  for (int64_t segment : segment_of_row)
    source_of_row.push_back(source_of_tree.at(static_cast<size_t>(segment)));
  const Tensor states =
      dynamic_cast<T5Rows&>(cache).admit(std::make_shared<const T5Weights>(weights()), config_,
                                         encode(prompts.sources), source_of_row);
  last_hidden = at::zeros({std::ssize(prompts.segments), config_.d_model});
  last_hidden.index_copy_(
      0, at::tensor(at::ArrayRef<int64_t>(segment_of_row.data(), segment_of_row.size()), at::kLong),
      states);  // rows of one segment have the same
}

Tensor T5::decode(KvCache& cache, std::span<const int64_t> ids) const {
  const at::NoGradGuard no_grad;
  return dynamic_cast<T5Rows&>(cache).decode(ids, config_.d_model);
}

// ---- Cost. An encoder holds scores for all pairs of tokens of a prompt, with their bias.

PassCost T5::cost(const PassShape& shape) const {
  const T5Config& c = config_;
  const int64_t inner = c.num_heads * c.d_kv;
  const int64_t token_values = 4 * c.d_model + 5 * inner + 3 * c.d_ff;
  const int64_t scores = c.num_heads * shape.longest_prompt;
  int64_t read = 2 * (token_values + scores), written = 2 * (token_values + inner + scores);
  if (shape.with_gradient) {
    read += c.num_layers * (token_values + scores);
    written += c.num_decoder_layers * (token_values + 4 * inner + scores);
  }
  int64_t encoder = 0, decoder = c.vocab_size * c.d_model;
  for (const auto& [name, tensor] : parameters_) {
    if (is_adapter_parameter(name)) continue;
    if (name.starts_with("encoder.")) encoder += tensor.numel();
    if (name.starts_with("decoder.")) decoder += tensor.numel();
  }
  return {(shape.prompt_tokens * read + shape.text_tokens * written) *
              static_cast<int64_t>(sizeof(float)),
          2.0 * (static_cast<double>(shape.prompt_tokens) * static_cast<double>(encoder) +
                 static_cast<double>(shape.text_tokens) * static_cast<double>(decoder))};
}

// ---- Making, loading, saving in Hugging Face layout

namespace {

// Older files name the embeddings up to four times and hold a bias of cross attention that no
// version has used. What remains are the parameters of the configuration; the head decides about
// tie_word_embeddings.
void remove_copies(ParameterMap& weights, T5Config& config, const std::string& name) {
  weights.erase("decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight");
  const std::string copies[] = {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight"};
  for (const std::string& copy : copies) {
    if (weights.contains(copy)) weights.try_emplace("shared.weight", weights.at(copy));
  }
  const auto head = weights.find("lm_head.weight");
  if (head != weights.end() && config.tie_word_embeddings)
    weights.try_emplace("shared.weight", head->second);
  const auto shared = weights.find("shared.weight");
  if (shared == weights.end()) return;  // reported with all others that are missing
  for (const std::string& copy : copies) {
    if (!weights.contains(copy)) continue;
    CHECK(equal_values(weights.at(copy), shared->second), kModel,
          "{}: \"{}\": expected the values of \"shared.weight\"", name, copy);
    weights.erase(copy);
  }
  if (head == weights.end()) return;
  if (config.tie_word_embeddings && equal_values(head->second, shared->second)) {
    weights.erase(head);
  } else {
    config.tie_word_embeddings = false;
  }
}

// Standard deviations of Raffel et al. 2020 (Mesh TensorFlow); attention is not scaled, so that its
// queries start smaller.
double initial_deviation(const std::string& name, const T5Config& c) {
  const auto inverse_root = [](int64_t n) { return 1 / std::sqrt(static_cast<double>(n)); };
  if (name == "shared.weight" || name == "lm_head.weight") return 1;
  if (name.ends_with(".q.weight")) return inverse_root(c.d_model * c.d_kv);
  if (name.ends_with(".o.weight")) return inverse_root(c.num_heads * c.d_kv);
  if (name.ends_with(".wo.weight")) return inverse_root(c.d_ff);
  return inverse_root(c.d_model);
}

}  // namespace

std::unique_ptr<T5> new_t5(const T5Config& config, uint64_t seed, const Numerics& numerics) {
  check_t5_config(config, "new T5");
  auto model = std::make_unique<T5>(config, T5::Memory::kAllocated, numerics);
  const at::NoGradGuard no_grad;
  for (auto& [name, tensor] : model->parameters()) {
    if (name.ends_with("layer_norm.weight")) {
      tensor.fill_(config.initializer_factor);
      continue;
    }
    Rng rng(seed, "init." + name);
    const double deviation = config.initializer_factor * initial_deviation(name, config);
    const Tensor drawn = at::empty(tensor.sizes(), at::kFloat);
    float* values = drawn.data_ptr<float>();
    for (int64_t i = 0; i < tensor.numel(); ++i) {
      values[i] = static_cast<float>(rng.normal() * deviation);
    }
    tensor.copy_(drawn);
  }
  return model;
}

std::unique_ptr<T5> open_t5(const std::filesystem::path& folder, const Numerics& numerics) {
  return std::make_unique<T5>(read_t5_config(folder), T5::Memory::kShapesOnly, numerics);
}

std::unique_ptr<T5> load_t5(const std::filesystem::path& folder, const Numerics& numerics) {
  T5Config config = read_t5_config(folder);
  ParameterMap weights = load_weights(folder);
  remove_copies(weights, config, folder.string());
  auto model = std::make_unique<T5>(config, T5::Memory::kAllocated, numerics);
  assign_parameters(model->parameters(), weights, folder.string());
  return model;
}

void T5::save(const std::filesystem::path& folder) const {
  write_t5_config(config_, folder);
  save_parameters(parameters_, folder);
}

}  // namespace etrlrec
