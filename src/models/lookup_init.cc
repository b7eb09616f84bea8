#include "models/lookup_init.h"

#include <cmath>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/rng.h"

namespace etrlrec {
namespace {

constexpr double kSlowTurn = 2e-3;  // radians per token: hardly turned over some hundred tokens
constexpr double kFastTurn = 2e-2;  // tells neighbouring distances apart

struct Layout {
  int64_t hidden = 0, head = 0, pairs = 0;
  std::vector<double> turn;   // [pairs] radians per token
  std::vector<int64_t> slow;  // coordinates of a head whose pair turns slowly
};

Layout layout_of(const LlmConfig& config) {
  Layout layout{config.hidden_size, config.head_dim, config.head_dim / 2, {}, {}};
  for (int64_t i = 0; i < layout.pairs; ++i) {
    layout.turn.push_back(std::pow(
        config.rope.theta, -2.0 * static_cast<double>(i) / static_cast<double>(layout.head)));
    if (layout.turn.back() < kSlowTurn) layout.slow.push_back(i);
  }
  const size_t slow_pairs = layout.slow.size();
  for (size_t j = 0; j < slow_pairs; ++j) layout.slow.push_back(layout.slow[j] + layout.pairs);
  CHECK(slow_pairs >= 4, kUsage,
        "lookup start: head_dim {} with rope_theta {} has {} slow pairs, at least 4 are "
        "needed\nhint: rope_theta 1e6 and "
        "head_dim 32",
        layout.head, config.rope.theta, slow_pairs);
  CHECK(layout.hidden >= 2 * layout.head, kUsage,
        "lookup start: expected hidden_size >= 2 * head_dim, found {} and {}", layout.hidden,
        layout.head);
  return layout;
}

at::Tensor& parameter(Decoder& model, const std::string& name) {
  const auto found = model.parameters().find(name);
  CHECK(found != model.parameters().end(), kUsage, "lookup start: the model has no {}", name);
  return found->second;
}

std::string attention_name(int64_t layer, const std::string& name) {
  return "model.layers." + std::to_string(layer) + ".self_attn." + name;
}

void fill_normal(at::Tensor& tensor, double deviation, Rng& rng) {
  float* values = tensor.data_ptr<float>();
  for (int64_t i = 0; i < tensor.numel(); ++i)
    values[i] = static_cast<float>(rng.normal() * deviation);
}

// Embeddings at 1 / sqrt(hidden), so that tied logits start near unit variance; matrices at 1 /
// sqrt(fan in); what writes into the residual stream is scaled down to the embeddings' size.
void fill_random(Decoder& model, const Layout& layout, uint64_t seed) {
  const double deviation = 1 / std::sqrt(static_cast<double>(layout.hidden));
  const double depth = std::sqrt(2.0 * static_cast<double>(model.config().num_hidden_layers));
  for (auto& [name, tensor] : model.parameters()) {
    Rng rng(seed, "init." + name);
    if (name.ends_with("norm.weight")) {
      tensor.fill_(1);
    } else if (name.ends_with(".bias")) {
      tensor.zero_();
    } else if (name.find("embed_tokens") != std::string::npos || name.starts_with("lm_head")) {
      fill_normal(tensor, deviation, rng);
    } else {
      const bool writes = name.ends_with("o_proj.weight") || name.ends_with("down_proj.weight");
      const double fan_in = 1 / std::sqrt(static_cast<double>(tensor.size(1)));
      fill_normal(tensor, writes ? fan_in * deviation / depth : fan_in, rng);
    }
  }
}

// Rows of a random orthogonal matrix [hidden, hidden].
at::Tensor orthogonal_rows(int64_t hidden, Rng& rng) {
  at::Tensor matrix = at::empty({hidden, hidden});
  fill_normal(matrix, 1, rng);
  return std::get<0>(at::linalg_qr(matrix)).contiguous();
}

void make_previous_token_head(Decoder& model, const Layout& layout, double bias,
                              const at::Tensor& read, const at::Tensor& write, double gain) {
  at::Tensor query = parameter(model, attention_name(0, "q_proj.bias"));
  at::Tensor key = parameter(model, attention_name(0, "k_proj.bias"));
  for (int64_t i = 0; i < layout.pairs; ++i) {
    const double turn = layout.turn[static_cast<size_t>(i)];
    if (turn < kFastTurn) continue;
    query[i] = bias;  // constant query (bias, 0); the key is the same vector turned one token ahead
    key[i] = bias * std::cos(turn);
    key[i + layout.pairs] = bias * std::sin(turn);
  }
  parameter(model, attention_name(0, "q_proj.weight")).narrow(0, 0, layout.head).mul_(0.1);
  parameter(model, attention_name(0, "k_proj.weight")).narrow(0, 0, layout.head).mul_(0.1);
  parameter(model, attention_name(0, "v_proj.weight")).narrow(0, 0, layout.head).copy_(read);
  parameter(model, attention_name(0, "o_proj.weight"))
      .narrow(1, 0, layout.head)
      .copy_(write.t() * gain);
}

void make_matching_head(Decoder& model, const Layout& layout, int64_t layer, double match,
                        const at::Tensor& read, const at::Tensor& write, Rng& rng) {
  at::Tensor query = parameter(model, attention_name(layer, "q_proj.weight"));
  at::Tensor key = parameter(model, attention_name(layer, "k_proj.weight"));
  query.narrow(0, 0, layout.head).mul_(0.1);
  key.narrow(0, 0, layout.head).mul_(0.1);
  for (size_t j = 0; j < layout.slow.size(); ++j) {
    query[layout.slow[j]].copy_(read[static_cast<int64_t>(j)] * match);
    key[layout.slow[j]].copy_(write[static_cast<int64_t>(j)] * match);
  }
  const at::Tensor copy = orthogonal_rows(layout.hidden, rng).narrow(0, 0, layout.head);
  parameter(model, attention_name(layer, "v_proj.weight")).narrow(0, 0, layout.head).copy_(copy);
  parameter(model, attention_name(layer, "o_proj.weight"))
      .narrow(1, 0, layout.head)
      .copy_(copy.t());
}

}  // namespace

void initialize_lookup(Decoder& model, const LookupInit& options, uint64_t seed) {
  const at::NoGradGuard no_grad;
  const Layout layout = layout_of(model.config());
  CHECK(model.config().num_hidden_layers >= 2, kUsage,
        "lookup start: expected at least 2 layers, found {}", model.config().num_hidden_layers);
  fill_random(model, layout, seed);
  Rng rng(seed, "init.lookup");
  const at::Tensor basis = orthogonal_rows(layout.hidden, rng);
  const at::Tensor read = basis.narrow(0, 0, layout.head);  // identity of a token
  const at::Tensor write =
      basis.narrow(0, layout.hidden - layout.head, layout.head);  // of the one before it
  make_previous_token_head(model, layout, options.bias, read, write,
                           1 / std::sqrt(static_cast<double>(layout.hidden)));
  for (int64_t layer = 1; layer < model.config().num_hidden_layers; ++layer) {
    make_matching_head(model, layout, layer, options.match, read, write, rng);
  }
}

}  // namespace etrlrec
