#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "golden_path.h"
#include "models/recommenders.h"
#include "models/sasrec.h"
#include "models/sasrec_ops.h"
#include "nn/logprob.h"
#include "nn/safetensors.h"

namespace etrlrec {
namespace {

using at::Tensor;

fs::path golden_folder(const std::string& name) { return golden_path() / "seqrec" / name; }

void set(Sasrec& model, const std::string& name, const Tensor& value) {
  const at::NoGradGuard no_grad;
  model.parameters().at(name).copy_(value);
}

void set_pair(Sasrec& model, const std::string& name, const ParameterMap& source,
              const std::string& theirs) {
  set(model, name + ".weight", source.at(theirs + ".weight").squeeze());
  set(model, name + ".bias", source.at(theirs + ".bias"));
}

SasrecConfig golden_config() {
  SasrecConfig config;
  config.num_items = 61;  // the padding row of the reference is an item like any other here
  config.hidden_size = 16;
  config.max_length = 10;
  config.dropout = 0;
  return config;
}

// RecBole's form: post-norm, norm after the embeddings, positions from the oldest item.
Sasrec recbole_model(const ParameterMap& weights) {
  SasrecConfig config = golden_config();
  config.intermediate_size = 40;
  config.norm_first = config.final_norm = false;
  config.embedding_norm = true;
  config.position_alignment = "start";
  config.layer_norm_eps = 1e-12;
  Sasrec model(config, 1);
  set(model, "item_embeddings.weight", weights.at("item_embedding.weight"));
  set(model, "position_embeddings.weight", weights.at("position_embedding.weight"));
  set_pair(model, "embedding_norm", weights, "LayerNorm");
  for (const std::string layer : {"0", "1"}) {
    const std::string ours = "layers." + layer + ".", theirs = "trm_encoder.layer." + layer + ".";
    for (const std::string kind : {".weight", ".bias"}) {
      std::vector<Tensor> parts;
      for (const char* part : {"query", "key", "value"})
        parts.push_back(weights.at(theirs + "multi_head_attention." + part + kind));
      set(model, ours + "attention.qkv" + kind, at::cat(parts));
    }
    set_pair(model, ours + "attention.out", weights, theirs + "multi_head_attention.dense");
    set_pair(model, ours + "attention_norm", weights, theirs + "multi_head_attention.LayerNorm");
    set_pair(model, ours + "feed_forward.up", weights, theirs + "feed_forward.dense_1");
    set_pair(model, ours + "feed_forward.down", weights, theirs + "feed_forward.dense_2");
    set_pair(model, ours + "feed_forward_norm", weights, theirs + "feed_forward.LayerNorm");
  }
  return model;
}

// Rows of the reference without their padding (item 0).
std::vector<std::vector<int64_t>> unpadded(const Tensor& sequences) {
  std::vector<std::vector<int64_t>> rows;
  for (int64_t r = 0; r < sequences.size(0); ++r) {
    const Tensor row = sequences[r].masked_select(sequences[r] != 0).contiguous();
    rows.emplace_back(row.data_ptr<int64_t>(), row.data_ptr<int64_t>() + row.numel());
  }
  return rows;
}

TEST(Sasrec, gives_the_loss_and_gradients_of_recbole) {
  const fs::path folder = golden_folder("sasrec-recbole");
  const ParameterMap golden = load_safetensors(folder / "golden.safetensors");
  Sasrec model = recbole_model(load_safetensors(folder / "weights.safetensors"));
  ItemSequences forest;
  std::vector<int64_t> last;
  for (const auto& row : unpadded(golden.at("sequence"))) {
    forest.add(-1, row);
    last.push_back(forest.num_tokens() - 1);
  }
  const Tensor states = model.hidden_states(forest).index_select(0, at::tensor(last));
  const Tensor logits = at::mm(states, model.item_weight().t());
  EXPECT_LT((logits - golden.at("logits")).abs().max().item<double>(), 5e-5);
  const Tensor loss =
      linear_nll(states, model.item_weight(), golden.at("positive"), at::full({4}, 0.25));
  const double expected = read_json(folder / "golden.json")["losses"]["ce"].get<double>();
  EXPECT_NEAR(loss.item<double>(), expected, 1e-5);
  loss.backward();
  const auto expect_gradient = [&](const Tensor& ours, const std::string& name) {
    EXPECT_LT((ours - golden.at("grad.ce." + name)).abs().max().item<double>(), 1e-4) << name;
  };
  ParameterMap& p = model.parameters();
  expect_gradient(p.at("item_embeddings.weight").grad(), "item_embedding.weight");
  expect_gradient(p.at("position_embeddings.weight").grad(), "position_embedding.weight");
  expect_gradient(p.at("layers.0.attention.qkv.weight").grad().slice(0, 0, 16),
                  "trm_encoder.layer.0.multi_head_attention.query.weight");
  expect_gradient(p.at("layers.1.feed_forward.up.weight").grad(),
                  "trm_encoder.layer.1.feed_forward.dense_1.weight");
}

// The common PyTorch port, in its pre-norm and post-norm forms; only its row without padding is
// comparable, since it attends to padding.
void expect_port(const std::string& name, bool norm_first) {
  const fs::path folder = golden_folder(name);
  const ParameterMap golden = load_safetensors(folder / "golden.safetensors");
  const ParameterMap weights = load_safetensors(folder / "weights.safetensors");
  SasrecConfig config = golden_config();
  config.intermediate_size = 16;
  config.hidden_act = "relu";
  config.norm_first = norm_first;
  config.scale_embeddings = true;
  config.layer_norm_eps = 1e-8;
  Sasrec model(config, 1);
  set(model, "item_embeddings.weight", weights.at("item_emb.weight"));
  set(model, "position_embeddings.weight", weights.at("pos_emb.weight").slice(0, 1));
  set_pair(model, "norm", weights, "last_layernorm");
  for (const std::string layer : {"0", "1"}) {
    const std::string ours = "layers." + layer + ".";
    set(model, ours + "attention.qkv.weight",
        weights.at("attention_layers." + layer + ".in_proj_weight"));
    set(model, ours + "attention.qkv.bias",
        weights.at("attention_layers." + layer + ".in_proj_bias"));
    set_pair(model, ours + "attention.out", weights, "attention_layers." + layer + ".out_proj");
    set_pair(model, ours + "attention_norm", weights, "attention_layernorms." + layer);
    set_pair(model, ours + "feed_forward.up", weights, "forward_layers." + layer + ".conv1");
    set_pair(model, ours + "feed_forward.down", weights, "forward_layers." + layer + ".conv2");
    set_pair(model, ours + "feed_forward_norm", weights, "forward_layernorms." + layer);
  }
  ItemSequences forest;
  forest.add(-1, unpadded(golden.at("sequence"))[0]);
  ASSERT_EQ(forest.num_tokens(), 10);
  const Tensor states = model.hidden_states(forest);
  EXPECT_LT((states - golden.at("features")[0]).abs().max().item<double>(), 5e-5);
}

TEST(Sasrec, equals_the_pre_norm_port) { expect_port("sasrec-pmixer-norm-first", true); }
TEST(Sasrec, equals_the_post_norm_port) { expect_port("sasrec-pmixer-post-norm", false); }

SasrecConfig small_config() {
  SasrecConfig config;
  config.num_items = 12;
  config.hidden_size = 16;
  config.intermediate_size = 32;
  config.max_length = 5;
  config.dropout = 0.1;
  return config;
}

Tensor score_rows(const Recommender& model, const std::vector<std::vector<int32_t>>& histories) {
  std::vector<HistoryView> views;
  for (const auto& items : histories) views.push_back({items, {}, 0});
  return model.score(views);
}

TEST(Sasrec, scores_do_not_depend_on_the_batch_or_on_items_beyond_max_length) {
  const Sasrec model(small_config(), 3);
  const Tensor together = score_rows(model, {{1, 2, 3, 4, 5, 6, 7}, {}, {9}});
  EXPECT_TRUE(at::allclose(together.slice(0, 0, 1), score_rows(model, {{3, 4, 5, 6, 7}}), 0, 1e-6));
  EXPECT_TRUE(at::allclose(together.slice(0, 2, 3), score_rows(model, {{9}}), 0, 1e-6));
  EXPECT_EQ(together[1].abs().max().item<double>(), 0);
}

TEST(Sasrec, comes_back_from_its_folder) {
  const fs::path folder = fs::temp_directory_path() / fmt::format("etrlrec-sasrec-{}", ::getpid());
  fs::create_directories(folder);
  const Sasrec model(small_config(), 3);
  model.save(folder);
  EXPECT_TRUE(
      at::equal(score_rows(model, {{1, 2}}), score_rows(*load_recommender(folder), {{1, 2}})));
  Json config = read_json(folder / "config.json");
  config["num_items"] = 13;
  write_file_atomic(folder / "config.json", config.dump());
  EXPECT_THROW(Sasrec::load(folder), Error);
  config["num_attention_heads"] = 3;
  write_file_atomic(folder / "config.json", config.dump());
  EXPECT_THROW(Sasrec::load(folder), Error);
  fs::remove_all(folder);
}

TEST(Sasrec, refuses_items_and_sequences_it_does_not_know) {
  const Sasrec model(small_config(), 3);
  EXPECT_THROW(score_rows(model, {{12}}), Error);
  ItemSequences forest;
  forest.add(-1, std::vector<int64_t>{1, 2, 3, 4, 5, 6});
  EXPECT_THROW(model.hidden_states(forest), Error);
}

TEST(Dropout, drops_the_given_share_and_keeps_the_mean) {
  const Tensor out = masked_dropout(at::ones({1000, 200}), {0.3, 99});
  EXPECT_NEAR((out == 0).to(at::kDouble).mean().item<double>(), 0.3, 0.004);
  EXPECT_NEAR(out.mean().item<double>(), 1, 0.006);
  EXPECT_TRUE(at::equal(out, masked_dropout(at::ones({1000, 200}), {0.3, 99})));
  EXPECT_FALSE(at::equal(out, masked_dropout(at::ones({1000, 200}), {0.3, 98})));
}

TEST(Dropout, repeats_its_mask_in_the_backward_pass) {
  Tensor values = at::ones({50, 16}).requires_grad_(),
         residual = at::ones({50, 16}).requires_grad_();
  const Tensor out = residual_dropout(residual, values, {0.5, 7});
  out.sum().backward();
  EXPECT_TRUE(at::equal(values.grad(), out.detach() - 1));
  EXPECT_TRUE(at::equal(residual.grad(), at::ones({50, 16})));
}

TEST(EmbedItems, equals_lookup_and_sum) {
  Tensor items = at::sin(at::arange(60, at::kFloat)).view({5, 12}).requires_grad_();
  Tensor positions = at::cos(at::arange(36, at::kFloat)).view({3, 12}).requires_grad_();
  const Tensor item = at::tensor({4, 4, 1, 0}, at::kInt),
               position = at::tensor({0, 1, 2, 0}, at::kInt);
  const Tensor weight = at::arange(48, at::kFloat).view({4, 12});
  (embed_items(items, positions, item, position, 2.0, {}) * weight).sum().backward();
  const Tensor item_gradient = items.grad(), position_gradient = positions.grad();
  items.mutable_grad() = Tensor();
  positions.mutable_grad() = Tensor();
  const Tensor twin = items.index_select(0, item) * 2 + positions.index_select(0, position);
  EXPECT_TRUE(at::allclose(embed_items(items, positions, item, position, 2.0, {}), twin));
  (twin * weight).sum().backward();
  EXPECT_TRUE(at::allclose(item_gradient, items.grad()));
  EXPECT_TRUE(at::allclose(position_gradient, positions.grad()));
}

}  // namespace
}  // namespace etrlrec
