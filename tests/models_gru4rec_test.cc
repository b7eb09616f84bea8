#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "models/gru4rec.h"
#include "models/recommender_loss.h"
#include "models/recommenders.h"
#include "nn/safetensors.h"
#include "recommender_golden.h"
#include "refusals.h"

namespace etrlrec {
namespace {

using at::Tensor;
namespace fs = std::filesystem;

Gru4RecConfig tiny() {
  Gru4RecConfig config;
  config.num_items = 12;
  config.hidden_size = 6;
  config.embedding_size = 4;
  config.max_length = 5;
  return config;
}

Tensor scores_of(const Recommender& model, const std::vector<std::vector<int32_t>>& histories) {
  std::vector<HistoryView> views;
  for (const auto& items : histories) views.push_back({items, {}, 0});
  return model.score(views);
}

// Cho et al. 2014 as PyTorch writes it, one sequence and step at a time: the slow twin.
Tensor by_formula(Gru4Rec& model, const std::vector<int64_t>& items, int64_t layers) {
  const ParameterMap& p = model.parameters();
  std::vector<Tensor> inputs;
  for (const int64_t item : items) inputs.push_back(model.item_weight()[item]);
  for (int64_t layer = 0; layer < layers; ++layer) {
    const std::string prefix = "layers." + std::to_string(layer) + ".";
    Tensor state = at::zeros({p.at(prefix + "hidden.weight").size(1)});
    for (Tensor& input : inputs) {
      const auto gates = [&](const char* kind, const Tensor& values) {
        Tensor all = at::mv(p.at(prefix + kind + ".weight"), values);
        if (p.contains(prefix + kind + ".bias")) all = all + p.at(prefix + kind + ".bias");
        return all.chunk(3);
      };
      const auto in = gates("input", input), before = gates("hidden", state);
      const Tensor reset = at::sigmoid(in[0] + before[0]), update = at::sigmoid(in[1] + before[1]);
      const Tensor fresh = at::tanh(in[2] + reset * before[2]);
      state = (1 - update) * fresh + update * state;
      input = state;
    }
  }
  return at::mv(p.at("dense.weight"), inputs.back()) + p.at("dense.bias");
}

TEST(Gru4Rec, a_forest_equals_the_formula_sequence_by_sequence) {
  Gru4Rec model(tiny(), 3);
  const std::vector<std::vector<int64_t>> sequences{{1, 2}, {3, 4, 5, 6, 7}, {8}, {9, 1, 0}};
  ItemSequences forest;
  for (const auto& sequence : sequences) forest.add(-1, sequence);
  const Tensor states = model.hidden_states(forest);
  for (size_t s = 0; s < sequences.size(); ++s) {
    const Tensor found = states[forest.segments[s].end - 1];
    EXPECT_TRUE(at::allclose(found, by_formula(model, sequences[s], 2), 1e-5, 1e-6)) << s;
  }
}

// The numbers of ../shared/golden/seqrec: torch.nn.GRU in RecBole's form and with two layers.
void expect_golden(const std::string& name, int64_t hidden, int64_t layers, bool bias) {
  const fs::path folder = recommender_golden(name);
  if (!fs::exists(folder)) GTEST_SKIP() << "the golden numbers are not here";
  Gru4RecConfig config;
  config.num_items = 61;  // the padding row of the reference is an item like any other here
  config.hidden_size = hidden;
  config.embedding_size = 16;
  config.num_hidden_layers = layers;
  config.max_length = 10;
  config.dropout = 0;
  config.bias = bias;
  Gru4Rec model(config, 1);
  const auto theirs = [](const std::string& own) {
    if (own.starts_with("item_embeddings.")) return std::string("item_embedding.weight");
    if (!own.starts_with("layers.")) return own;
    const std::string part = own.find(".input.") != std::string::npos ? "_ih_l" : "_hh_l";
    const std::string kind = own.ends_with(".weight") ? "weight" : "bias";
    return "gru_layers." + kind + part + own[7];
  };
  expect_recommender_golden(model, folder, theirs, 4);
}

// Binary cross-entropy and BPR of the golden numbers, with the gradients of the former.
TEST(Gru4Rec, gives_the_losses_with_one_negative_of_recbole) {
  const fs::path folder = recommender_golden("gru4rec-recbole");
  if (!fs::exists(folder)) GTEST_SKIP() << "the golden numbers are not here";
  const ParameterMap weights = load_safetensors(folder / "weights.safetensors"),
                     golden = load_safetensors(folder / "golden.safetensors");
  const Json losses = read_json(folder / "golden.json")["losses"];
  const Tensor items = weights.at("item_embedding.weight"),
               negatives = golden.at("negative").unsqueeze(1);
  for (const char* name : {"bce", "bpr"}) {
    const Tensor loss = recommender_loss({.name = name, .num_negatives = 1}, golden.at("features"),
                                         items, {}, golden.at("positive"), {negatives, {}});
    EXPECT_NEAR(loss.item<double>(), losses[name].get<double>(), 1e-5) << name;
  }
}

TEST(Gru4Rec, gives_the_loss_and_gradients_of_recbole) {
  expect_golden("gru4rec-recbole", 24, 1, false);
}
TEST(Gru4Rec, gives_the_loss_and_gradients_of_two_layers_with_biases) {
  expect_golden("gru4rec", 20, 2, true);
}

TEST(Gru4Rec, scores_do_not_depend_on_the_batch_or_on_items_beyond_max_length) {
  const Gru4Rec model(tiny(), 3);
  const Tensor together = scores_of(model, {{1, 2, 3, 4, 5, 6, 7}, {}, {9}});
  EXPECT_TRUE(at::allclose(together.slice(0, 0, 1), scores_of(model, {{3, 4, 5, 6, 7}}), 0, 1e-6));
  EXPECT_TRUE(at::allclose(together.slice(0, 2, 3), scores_of(model, {{9}}), 0, 1e-6));
  EXPECT_EQ(together[1].abs().max().item<double>(), 0);
}

TEST(Gru4Rec, dropout_is_decided_by_its_stream) { expect_dropout_by_stream(Gru4Rec(tiny(), 3)); }

TEST(Gru4Rec, comes_back_from_its_folder) {
  const fs::path folder = fs::temp_directory_path() / ("etrlrec-gru-" + std::to_string(::getpid()));
  fs::create_directories(folder);
  const Gru4Rec model(tiny(), 3);
  model.save(folder);
  EXPECT_TRUE(
      at::equal(scores_of(model, {{1, 2}}), scores_of(*load_recommender(folder), {{1, 2}})));
  Json config = read_json(folder / "config.json");
  config["hidden_size"] = 7;
  write_file_atomic(folder / "config.json", config.dump());
  refuses([&] { Gru4Rec::load(folder); }, ExitCode::kModel, "does not fit config.json");
  fs::remove_all(folder);
}

TEST(Gru4Rec, refuses_items_and_sequences_it_does_not_know) {
  const Gru4Rec model(tiny(), 3);
  refuses([&] { scores_of(model, {{12}}); }, ExitCode::kInput, "item 12");
  ItemSequences forest;
  forest.add(-1, std::vector<int64_t>{1, 2, 3, 4, 5, 6});
  refuses([&] { model.hidden_states(forest); }, ExitCode::kInput, "at most 5 items");
}

}  // namespace
}  // namespace etrlrec
