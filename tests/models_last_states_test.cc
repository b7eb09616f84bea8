// States of the tokens that are asked for are those of all tokens, in every model of item
// transformer layers.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "base/rng.h"
#include "models/bert4rec.h"
#include "models/sasrec.h"
#include "models/tisasrec.h"

namespace etrlrec {
namespace {

constexpr int64_t kItems = 30;

ItemSequences some_sequences() {
  ItemSequences sequences;
  Rng rng(5, "sequences");
  for (const size_t length : {size_t{7}, size_t{1}, size_t{4}}) {
    std::vector<int32_t> items;
    std::vector<int64_t> times;
    for (size_t i = 0; i < length; ++i) {
      items.push_back(static_cast<int32_t>(rng.below(kItems)));
      times.push_back((times.empty() ? 0 : times.back()) + static_cast<int64_t>(rng.below(9)));
    }
    sequences.add_history({items, times});
  }
  return sequences;
}

// Every weight away from its start, so that norms and biases count.
void stir(ParameterMap& parameters) {
  const at::NoGradGuard no_grad;
  at::manual_seed(3);
  for (auto& [name, tensor] : parameters) tensor.add_(at::randn_like(tensor) * 0.2);
}

double difference(const at::Tensor& a, const at::Tensor& b) {
  EXPECT_EQ(a.sizes(), b.sizes());
  return (a - b).abs().max().item<double>();
}

ItemTransformerConfig small_layers(bool norm_first) {
  return {.num_items = kItems,
          .hidden_size = 16,
          .num_attention_heads = 2,
          .intermediate_size = 24,
          .max_length = 8,
          .dropout = 0,
          .norm_first = norm_first};
}

void expect_last_states(CausalRecommender& model) {
  stir(model.parameters());
  const at::NoGradGuard no_grad;
  const ItemSequences sequences = some_sequences();
  const at::Tensor whole = model.hidden_states(sequences), last = last_items(sequences);
  EXPECT_TRUE(at::equal(last, at::tensor({int64_t{6}, int64_t{7}, int64_t{11}})));
  EXPECT_LT(difference(model.last_states(sequences), whole.index_select(0, last)), 1e-5);
  EXPECT_GT(difference(model.last_states(sequences), whole.narrow(0, 0, 3)), 0.1);
}

TEST(LastStates, are_those_of_all_items) {
  for (const bool norm_first : {true, false}) {
    Sasrec sasrec(small_layers(norm_first), 1);
    expect_last_states(sasrec);
  }
  TiSasrecConfig config;
  config.layers = small_layers(true);
  config.time_span = 6;
  TiSasrec tisasrec(config, 1);
  expect_last_states(tisasrec);
}

// Training of BERT4Rec asks for masked items alone: states and gradients.
TEST(LastStates, of_masked_items_have_the_same_gradients) {
  Bert4RecConfig config;
  config.layers = small_layers(false);
  config.layers.embedding_norm = true;
  config.layers.final_norm = false;
  Bert4Rec model(config, 1);
  stir(model.parameters());
  const ItemSequences sequences = some_sequences();
  const at::Tensor kept = at::tensor({int64_t{2}, int64_t{3}, int64_t{7}, int64_t{10}});
  const at::Tensor u = at::randn({4, 16});
  const auto gradients = [&](const at::Tensor& states) {
    for (auto& [name, tensor] : model.parameters()) tensor.mutable_grad() = at::Tensor();
    (states * u).sum().backward();
    std::map<std::string, at::Tensor> found;
    for (auto& [name, tensor] : model.parameters())
      if (tensor.grad().defined()) found[name] = tensor.grad().clone();
    return found;
  };
  const at::Tensor whole = model.masked_states(sequences).index_select(0, kept);
  const auto expected = gradients(whole);
  const at::Tensor cut = model.masked_states(sequences, nullptr, kept);
  EXPECT_LT(difference(cut, whole), 1e-5);
  const auto found = gradients(cut);
  ASSERT_EQ(found.size(), expected.size());
  EXPECT_GT(found.size(), 20u);
  for (const auto& [name, gradient] : expected)
    EXPECT_LT(difference(found.at(name), gradient), 1e-4) << name;
}

}  // namespace
}  // namespace etrlrec
