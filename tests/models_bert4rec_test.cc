#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "base/json.h"
#include "models/bert4rec.h"
#include "models_recommender_fixture.h"
#include "refusals.h"
#include "train/next_item_objective.h"

namespace etrlrec {
namespace {

using at::Tensor;

Bert4RecConfig tiny_bert4rec() {
  Bert4RecConfig config;
  config.layers.num_items = 12;
  config.layers.hidden_size = 8;
  config.layers.intermediate_size = 12;
  config.layers.max_length = 5;
  config.layers.initializer_range = 0.5;
  return config;
}

// Sun et al. 2019 with one query and head at a time, positions aligned at the end: the slow twin.
Tensor bert4rec_formula(Bert4Rec& model, const Bert4RecConfig& config,
                        const std::vector<int64_t>& items) {
  const ParameterMap& p = model.parameters();
  const ItemTransformerConfig& c = config.layers;
  const ItemTransformer pieces(c, p, {});
  const auto n = std::ssize(items);
  const int64_t size = c.hidden_size / c.num_attention_heads;
  std::vector<Tensor> embedded;
  for (int64_t i = 0; i < n; ++i) {
    const int64_t item = items[static_cast<size_t>(i)];
    embedded.push_back(
        (item == c.num_items ? p.at("mask_embedding.weight")[0] : model.item_weight()[item]) +
        p.at("position_embeddings.weight")[c.max_length + 1 - n + i]);
  }
  Tensor hidden = pieces.layer_norm(at::stack(embedded), "embedding_norm");
  for (int64_t layer = 0; layer < c.num_hidden_layers; ++layer) {
    const std::string prefix = fmt::format("layers.{}.", layer);
    const auto parts = pieces.linear(hidden, prefix + "attention.qkv").chunk(3, 1);
    std::vector<Tensor> gathered;
    for (int64_t i = 0; i < n; ++i) {
      std::vector<Tensor> heads;
      for (int64_t h = 0; h < c.num_attention_heads; ++h) {
        const auto part = [&](size_t which) { return parts[which].narrow(1, h * size, size); };
        const Tensor logits = at::mv(part(1), part(0)[i]) / std::sqrt(static_cast<double>(size));
        heads.push_back(at::mv(part(2).t(), at::softmax(logits, 0)));
      }
      gathered.push_back(at::cat(heads));
    }
    hidden =
        pieces.layer_norm(hidden + pieces.linear(at::stack(gathered), prefix + "attention.out"),
                          prefix + "attention_norm");
    const Tensor inner = at::gelu(pieces.linear(hidden, prefix + "feed_forward.up"));
    hidden = pieces.layer_norm(hidden + pieces.linear(inner, prefix + "feed_forward.down"),
                               prefix + "feed_forward_norm");
  }
  return hidden;
}

TEST(Bert4Rec, a_batch_equals_the_formula_sequence_by_sequence) {
  Bert4Rec model(tiny_bert4rec(), 3);
  const std::vector<std::vector<int64_t>> all{{1, 12, 3, 4, 5, 12}, {12}, {7, 12, 2}};
  ItemSequences sequences;
  std::vector<Tensor> expected;
  for (const auto& items : all) {
    sequences.add(-1, items);
    expected.push_back(bert4rec_formula(model, tiny_bert4rec(), items));
  }
  const Tensor found = model.masked_states(sequences);
  EXPECT_LT((found - at::cat(expected)).abs().max().item<double>(), 1e-5);
}

TEST(Bert4Rec, scores_are_those_of_a_mask_behind_the_history) {
  const Bert4RecConfig config = tiny_bert4rec();
  Bert4Rec model(config, 3);
  const ParameterMap& p = model.parameters();
  const ItemTransformer pieces(config.layers, p, {});
  {
    const at::NoGradGuard no_grad;
    model.parameters().at("output.bias").copy_(at::arange(12) * 0.1);
  }
  const Tensor state = bert4rec_formula(model, config, {4, 5, 6, 12})[3];
  const Tensor output =
      pieces.layer_norm(at::gelu(pieces.linear(state, "transform")), "transform_norm");
  const Tensor expected = at::mv(model.item_weight(), output) + p.at("output.bias");
  const auto found = scores_of(model, {4, 5, 6}, 0);
  for (int64_t item = 0; item < 12; ++item)
    EXPECT_NEAR(found[static_cast<size_t>(item)], expected[item].item<double>(), 1e-5);
}

// What is predicted is what was there before the mask, and states see both sides.
TEST(Bert4Rec, training_masks_items_at_random_or_the_last_alone) {
  Bert4RecConfig config = tiny_bert4rec();
  config.layers.dropout = 0;
  Bert4Rec model(config, 3);
  ItemSequences sequences;
  sequences.add(-1, std::vector<int64_t>{1, 2, 3, 4});
  sequences.add(-1, std::vector<int64_t>{8});
  const std::vector<int64_t> targets{2, 3, 4, 5, 9};
  std::map<int64_t, int64_t> counts;
  constexpr int64_t kTimes = 2000;
  for (uint64_t index = 0; index < kTimes; ++index) {
    Rng rng(7, "masks", index);
    const TrainingStates found = model.training_states(sequences, targets, rng);
    EXPECT_EQ(found.states.size(0), std::ssize(found.targets));
    for (size_t i = 0; i < found.targets.size(); ++i) {
      EXPECT_EQ(found.sequences[i], found.targets[i] <= 5 ? 0 : 1);
      ++counts[found.targets[i]];
    }
  }
  // Items 1 to 5: masked with .2, one of them where none is (.8^5), all but the last not in a
  // tenth.
  const double cloze = 0.9 * (0.2 + std::pow(0.8, 5) / 5);
  for (int64_t item = 1; item <= 5; ++item)
    EXPECT_NEAR(static_cast<double>(counts[item]) / kTimes, cloze + (item == 5 ? 0.1 : 0), 0.04);
  EXPECT_EQ(counts.size(), 7U);
}

TEST(Bert4Rec, learns_what_follows_what) {
  InteractionLog log;
  log.num_items = 12;
  for (const int32_t length : {5, 9, 12, 23}) {
    for (int32_t i = 0; i < length; ++i) {
      log.items.push_back((length + i) % 12);
      log.times.push_back(i);
    }
    log.user_offsets.push_back(static_cast<int64_t>(log.items.size()));
  }
  Bert4RecConfig config = tiny_bert4rec();
  config.layers.hidden_size = 16;
  config.layers.dropout = 0;
  config.layers.initializer_range = 0.1;
  Bert4Rec model(config, 3);
  NextItemObjective objective(model, log, 5);
  TrainerOptions options = next_item_trainer_options();
  options.learning_rate = 1e-2;
  options.num_train_epochs = 150;
  options.early_stopping_patience = 0;
  const ScopedFolder folder("bert4rec-training");
  train(objective, options, folder.path());
  for (const std::vector<int32_t>& items : {std::vector<int32_t>{4, 5, 6}, {9, 10}}) {
    const auto scores = scores_of(model, items, 0);
    EXPECT_EQ(std::max_element(scores.begin(), scores.end()) - scores.begin(), items.back() + 1);
  }
}

TEST(Bert4Rec, comes_back_from_its_folder) {
  const ScopedFolder folder("bert4rec");
  const Bert4Rec model(tiny_bert4rec(), 3);
  model.save(folder.path());
  EXPECT_EQ(scores_of(model, {1, 2}, 0), scores_of(*load_recommender(folder.path()), {1, 2}, 0));
  Json config = read_json(folder.path() / "config.json");
  config["mask_probability"] = 1.5;
  write_file_atomic(folder.path() / "config.json", config.dump());
  refuses([&] { Bert4Rec::load(folder.path()); }, ExitCode::kModel, "mask_probability");
}

TEST(Bert4Rec, refuses_keys_that_it_does_not_look_at) {
  const ScopedFolder folder("bert4rec-keys");
  Bert4Rec(tiny_bert4rec(), 3).save(folder.path());
  const Json saved = read_json(folder.path() / "config.json");
  const std::pair<const char*, Json> others[] = {
      {"position_alignment", "start"}, {"scale_embeddings", true}, {"embedding_norm", false}};
  for (const auto& [key, value] : others) {
    Json config = saved;
    config[key] = value;
    write_file_atomic(folder.path() / "config.json", config.dump());
    refuses([&] { Bert4Rec::load(folder.path()); }, ExitCode::kModel, key);
  }
}

}  // namespace
}  // namespace etrlrec
