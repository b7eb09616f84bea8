// T5 against golden files of Transformers, packed rows against rows alone, files, refusals.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <numeric>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "models/t5.h"
#include "models/t5_layers.h"
#include "models_t5_fixture.h"
#include "nn/safetensors.h"

namespace etrlrec {
namespace {

// A padded golden batch as packed rows.
struct T5Batch {
  explicit T5Batch(const ParameterMap& golden)
      : encoder(pack_rows(golden.at("input_ids"), golden.at("attention_mask"))) {
    const at::Tensor padded = golden.at("labels");
    for (int64_t r = 0; r < padded.size(0); ++r) {
      const int64_t* row = padded[r].const_data_ptr<int64_t>();
      labels.emplace_back(row, row + padded.size(1));
      lengths.push_back((padded[r] != -100).sum().item<int64_t>());
    }
  }
  // The golden rows without their padding, one behind the other.
  at::Tensor packed(const at::Tensor& padded) const {
    std::vector<at::Tensor> rows;
    for (int64_t r = 0; r < padded.size(0); ++r)
      rows.push_back(padded[r].narrow(0, 0, lengths[static_cast<size_t>(r)]));
    return at::cat(rows, 0);
  }
  at::Tensor logits(const T5& model, const StateRows& encoded) const {
    const at::NoGradGuard no_grad;
    std::vector<std::vector<int64_t>> kept;
    for (size_t r = 0; r < labels.size(); ++r)
      kept.emplace_back(labels[r].begin(), labels[r].begin() + lengths[r]);
    const TokenForest rows = shift_right(kept, model.config());
    return at::mm(model.decode(rows, encoded, row_numbers(labels.size())), model.head_weight().t());
  }
  TokenForest encoder;
  std::vector<std::vector<int64_t>> labels;  // with the padding of -100
  std::vector<int64_t> lengths;
};

void expect_gradients(const T5& model, const ParameterMap& golden, const Json& json) {
  int compared = 0;
  double largest = 0;
  for (const auto& [key, expected] : golden) {
    if (!key.starts_with("grad.")) continue;
    const at::Tensor found = model.parameters().at(key.substr(5)).grad();
    const double error = largest_difference(found, expected) / expected.abs().max().item<double>();
    largest = std::max(largest, error);
    EXPECT_LT(error, 2e-4) << key;
    ++compared;
  }
  EXPECT_GE(compared, 11);
  testing::Test::RecordProperty("gradient_difference", fmt::format("{:.2g}", largest));
  const Json& norms = json.at("grad_norm_and_sum");
  EXPECT_EQ(norms.size(), model.parameters().size());
  for (const auto& [key, expected] : norms.items()) {
    EXPECT_NEAR(model.parameters().at(key).grad().norm().item<double>(), expected[0].get<double>(),
                2e-4 * expected[0].get<double>())
        << key;
  }
}

void expect_golden(const std::string& name) {
  const fs::path folder = kT5Golden / name;
  const std::unique_ptr<T5> model = load_t5(folder);
  const ParameterMap golden = load_safetensors(folder / "golden.safetensors");
  const T5Batch batch(golden);
  const StateRows encoded = encode(*model, batch.encoder);
  int64_t begin = 0;
  for (int64_t r = 0; r < 3; ++r) {
    const int64_t length = encoded.lengths[static_cast<size_t>(r)];
    EXPECT_LT(largest_difference(encoded.states.narrow(0, begin, length),
                                 golden.at("encoder_last_hidden_state")[r].narrow(0, 0, length)),
              2e-4);
    begin += length;
  }
  const double logits =
      largest_difference(batch.logits(*model, encoded), batch.packed(golden.at("logits")));
  EXPECT_LT(logits, 2e-4);
  testing::Test::RecordProperty("logits_difference", fmt::format("{:.2g}", logits));
  const at::Tensor loss = seq2seq_loss(*model, texts_of(batch.encoder), batch.labels);
  EXPECT_NEAR(loss.item<double>(), golden.at("loss").item<double>(), 2e-5);
  loss.backward();
  expect_gradients(*model, golden, read_json(folder / "golden.json"));
}

TEST(T5Golden, v1_0_logits_loss_and_gradients) { expect_golden("t5-v1.0"); }
TEST(T5Golden, flan_logits_loss_and_gradients) { expect_golden("t5-flan"); }

TEST(T5Golden, decoder_input_is_the_labels_shifted_right) {
  const fs::path folder = kT5Golden / "t5-flan";
  const ParameterMap golden = load_safetensors(folder / "golden.safetensors");
  const TokenForest rows = shift_right(T5Batch(golden).labels, read_t5_config(folder));
  EXPECT_TRUE(at::equal(at::tensor(rows.ids, at::kLong), golden.at("decoder_input_ids").flatten()));
}

at::Tensor golden_logits(const T5& model) {
  const T5Batch batch(load_safetensors(kT5Golden / "t5-flan/golden.safetensors"));
  const at::NoGradGuard no_grad;
  return batch.logits(model, encode(model, batch.encoder));
}

TEST(T5Golden, older_config_files_and_written_folders_give_the_same_model) {
  for (const char* name : {"t5-v1.0", "t5-flan"}) {
    SCOPED_TRACE(name);
    const TemporaryFolder folder("t5-older");
    const fs::path original = kT5Golden / name;
    fs::copy_file(original / "config.v4.json", folder.path() / "config.json");
    fs::copy_file(original / "model.safetensors", folder.path() / "model.safetensors");
    const std::unique_ptr<T5> model = load_t5(original);
    const at::Tensor expected = golden_logits(*model);
    EXPECT_TRUE(at::equal(golden_logits(*load_t5(folder.path())), expected));
    model->save(folder.path());
    EXPECT_TRUE(at::equal(golden_logits(*load_t5(folder.path())), expected));
    const ParameterMap before = load_safetensors(original / "model.safetensors"),
                       after = load_safetensors(folder.path() / "model.safetensors");
    ASSERT_EQ(before.size(), after.size());
    for (const auto& [key, tensor] : before) EXPECT_TRUE(at::equal(tensor, after.at(key))) << key;
  }
}

// ---- rows

at::Tensor decode_logits(const T5& model, const TokenForest& source, const TokenForest& target,
                         const std::vector<int64_t>& source_of_row) {
  const at::NoGradGuard no_grad;
  return at::mm(model.decode(target, encode(model, source), source_of_row),
                model.head_weight().t());
}

TEST(T5, rows_of_a_batch_do_not_see_each_other) {
  for (const T5Config& config : small_t5_versions()) {
    SCOPED_TRACE(config.feed_forward_proj);
    const std::unique_ptr<T5> model = new_t5(config, 1);
    const std::vector<int64_t> source_lengths{9, 9, 4, 17}, target_lengths{3, 5, 5, 1};
    const TokenForest sources = random_rows(source_lengths, 1),
                      targets = random_rows(target_lengths, 2);
    const at::Tensor together = decode_logits(*model, sources, targets, row_numbers(4));
    for (int64_t r = 0; r < 4; ++r) {
      const Segment& row = targets.segments[r];
      const at::Tensor alone =
          decode_logits(*model, row_of(sources, r), row_of(targets, r), row_numbers(1));
      EXPECT_LT(largest_difference(alone, together.slice(0, row.begin, row.end)), 1e-5) << r;
    }
  }
}

TEST(T5, rows_may_share_their_source_in_any_order) {
  const std::unique_ptr<T5> model = new_t5(small_t5(), 1);
  const TokenForest sources = random_rows({9, 4}, 1), targets = random_rows({3, 5, 2, 4}, 2);
  const std::vector<int64_t> source_of_row{1, 1, 0, 1};
  TokenForest repeated;
  for (int64_t source : source_of_row) repeated.add(-1, row_of(sources, source).ids);
  EXPECT_LT(largest_difference(decode_logits(*model, sources, targets, source_of_row),
                               decode_logits(*model, repeated, targets, row_numbers(4))),
            1e-5);
}

// A tree gives every token the state that it has on its path alone, forward and backward.
TEST(T5, trees_of_the_decoder_equal_their_paths) {
  for (const T5Config& config : small_t5_versions()) {
    SCOPED_TRACE(config.feed_forward_proj);
    const std::unique_ptr<T5> model = new_t5(config, 1);
    const std::vector<std::vector<int64_t>> sources{{5, 9, 1}, {8, 2, 7, 4, 1}};
    TokenForest forest, paths;
    const std::vector<int64_t> start{0}, a{3, 4}, b{6}, c{7, 8, 9}, d{11};
    // Two trees whose segments alternate; the second one is a chain.
    const int64_t first = forest.add(-1, start, sources[0]),
                  second = forest.add(-1, start, sources[1]);
    const int64_t left = forest.add(first, a), chain = forest.add(second, b);
    forest.add(first, c);
    forest.add(left, d);
    forest.add(chain, a);
    for (const auto& [source, path] : std::vector<std::pair<int, std::vector<int64_t>>>{
             {0, {0, 3, 4, 11}}, {0, {0, 7, 8, 9}}, {1, {0, 6, 3, 4}}})
      paths.add(-1, path, sources[static_cast<size_t>(source)]);
    // Token of the forest and its place in the paths.
    const std::vector<std::pair<int64_t, int64_t>> pairs{
        {0, 0}, {2, 1}, {3, 2}, {8, 3}, {5, 5}, {6, 6}, {7, 7}, {1, 8}, {4, 9}, {9, 10}, {10, 11}};
    std::vector<int64_t> in_forest, in_paths;
    for (const auto& [token, place] : pairs) {
      in_forest.push_back(token);
      in_paths.push_back(place);
    }
    const at::Tensor found = model->hidden_states_at(forest, in_forest),
                     expected = model->hidden_states_at(paths, in_paths);
    EXPECT_LT(largest_difference(found, expected), 1e-5);
    EXPECT_TRUE(at::equal(
        model->hidden_states(forest).index_select(0, at::tensor(in_forest, at::kLong)), found));
    const auto gradient = [&](const at::Tensor& states) {
      for (auto& [name, tensor] : model->parameters()) tensor.mutable_grad() = at::Tensor();
      states.square().sum().backward();
      return model->parameters()
          .at("decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight")
          .grad()
          .clone();
    };
    EXPECT_LT(largest_difference(gradient(found), gradient(expected)), 1e-4);
  }
}

TEST(T5, needs_a_source_for_every_root_and_decoders_take_none) {
  const std::unique_ptr<T5> model = new_t5(small_t5(), 1);
  TokenForest forest;
  forest.add(-1, std::vector<int64_t>{0});
  EXPECT_THROW(model->hidden_states(forest), Error);
  EXPECT_THROW(forest.add(0, std::vector<int64_t>{3}, std::vector<int64_t>{4}), Error);
}

TEST(T5, distances_fall_into_the_buckets_of_the_reference) {
  // T5Attention._relative_position_bucket of Transformers 5.23 with 32 buckets and distance 128
  const at::Tensor relative =
      at::tensor({-200, -128, -127, -91, -90, -64, -46, -33, -32, -16, -15, -9, -8,  -7,  -1, 0,
                  1,    7,    8,    11,  12,  16,  23,  31,  32,  45,  64,  91, 127, 128, 500},
                 at::kLong);
  const std::vector<int64_t> both{15, 15, 15, 15, 14, 14, 13, 12, 12, 10, 9,  8,  8,  7,  1, 0,
                                  17, 23, 24, 24, 25, 26, 27, 27, 28, 28, 30, 31, 31, 31, 31};
  std::vector<int64_t> past{31, 31, 31, 29, 29, 26, 24, 21, 21, 16, 15, 9, 8, 7, 1};
  past.resize(both.size());  // keys behind the query share bucket 0
  EXPECT_TRUE(
      at::equal(relative_position_bucket(relative, true, 32, 128), at::tensor(both, at::kLong)));
  EXPECT_TRUE(
      at::equal(relative_position_bucket(relative, false, 32, 128), at::tensor(past, at::kLong)));
}

// ---- adapters

TEST(T5, adapters_attach_by_module_name_and_merge) {
  const std::unique_ptr<T5> model = new_t5(small_t5(), 1);
  const TokenForest sources = random_rows({6, 9}, 1), targets = random_rows({4, 3}, 2);
  const at::Tensor before = decode_logits(*model, sources, targets, row_numbers(2));
  model->adapters().attach({3, 6, {"q", "v", "wo"}}, 3);
  EXPECT_TRUE(at::equal(decode_logits(*model, sources, targets, row_numbers(2)), before));
  seq2seq_loss(*model, texts_of(sources), std::vector<std::vector<int64_t>>{{5, 6}, {7}})
      .backward();
  int adapters = 0;
  for (auto& [name, tensor] : model->parameters()) {
    EXPECT_EQ(tensor.grad().defined(), is_adapter_parameter(name)) << name;
    if (!name.ends_with("lora_B.weight")) continue;
    const at::NoGradGuard no_grad;
    EXPECT_GT(tensor.grad().abs().max().item<double>(), 0) << name;
    tensor.fill_(0.05);
    ++adapters;
  }
  EXPECT_EQ(adapters, 2 * 3 + 2 * 5);  // two encoder blocks, two decoder blocks
  const at::Tensor attached = decode_logits(*model, sources, targets, row_numbers(2));
  EXPECT_GT(largest_difference(attached, before), 1e-2);
  model->adapters().set_enabled(false);
  EXPECT_TRUE(at::equal(decode_logits(*model, sources, targets, row_numbers(2)), before));
  model->adapters().set_enabled(true);
  model->adapters().merge();
  EXPECT_LT(largest_difference(decode_logits(*model, sources, targets, row_numbers(2)), attached),
            1e-4);
}

TEST(T5, adapters_without_names_go_to_all_linear_layers_but_the_head) {
  const std::unique_ptr<T5> model = new_t5(small_t5(), 1);
  model->adapters().attach({2, 4, {}}, 3);
  int adapters = 0;
  for (const auto& [name, tensor] : model->parameters())
    adapters += name.ends_with("lora_A.weight");
  EXPECT_EQ(adapters, 2 * 7 + 2 * 11);
  EXPECT_FALSE(model->parameters().contains("lm_head.lora_A.weight"));
}

// ---- files

TEST(T5, the_seed_decides_the_weights) {
  const auto a = new_t5(small_t5(), 1), b = new_t5(small_t5(), 1), c = new_t5(small_t5(), 2);
  EXPECT_TRUE(at::equal(a->head_weight(), b->head_weight()));
  EXPECT_FALSE(at::equal(a->head_weight(), c->head_weight()));
}

TEST(T5, every_way_to_tie_and_scale_survives_a_round_trip) {
  for (const bool tied : {true, false}) {
    for (const bool scaled : {true, false}) {
      T5Config config = small_t5();
      config.tie_word_embeddings = tied;
      config.scale_decoder_outputs = scaled;
      config.eos_token_ids = {1, 5};
      const TemporaryFolder folder("t5-round-trip");
      const std::unique_ptr<T5> model = new_t5(config, 1);
      model->save(folder.path());
      EXPECT_EQ(load_safetensors(folder.path() / "model.safetensors").contains("lm_head.weight"),
                !tied);
      const std::unique_ptr<T5> loaded = load_t5(folder.path());
      EXPECT_EQ(loaded->config().tie_word_embeddings, tied);
      EXPECT_EQ(loaded->config().scale_decoder_outputs, scaled);
      EXPECT_EQ(loaded->config().eos_token_ids, config.eos_token_ids);
      for (const auto& [name, tensor] : model->parameters())
        EXPECT_TRUE(at::equal(tensor, loaded->parameters().at(name))) << name;
    }
  }
}

// Writes a small model, lets `change` spoil its tensors, and loads it.
std::string load_changed(const std::function<void(ParameterMap&)>& change) {
  const TemporaryFolder folder("t5-changed");
  T5Config config = small_t5();
  config.tie_word_embeddings = config.scale_decoder_outputs = true;
  new_t5(config, 1)->save(folder.path());
  ParameterMap tensors = load_safetensors(folder.path() / "model.safetensors");
  change(tensors);
  save_safetensors(tensors, folder.path() / "model.safetensors");
  return error_of([&] { load_t5(folder.path()); });
}

TEST(T5, the_names_of_older_checkpoints_are_understood) {
  EXPECT_EQ(load_changed([](ParameterMap& tensors) {
              const at::Tensor shared = tensors.at("shared.weight");
              tensors["encoder.embed_tokens.weight"] = tensors["decoder.embed_tokens.weight"] =
                  tensors["lm_head.weight"] = shared;
              tensors["decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"] =
                  at::ones({32, 4});
            }),
            "");
  for (const char* only : {"encoder.embed_tokens.weight", "lm_head.weight"}) {
    EXPECT_EQ(load_changed([&](ParameterMap& tensors) {
                tensors[only] = tensors.at("shared.weight");
                tensors.erase("shared.weight");
              }),
              "")
        << only;
  }
}

TEST(T5, sharded_weights_give_the_same_model) {
  const TemporaryFolder folder("t5-sharded");
  const std::unique_ptr<T5> model = new_t5(small_t5(), 1);
  model->save(folder.path());
  const ParameterMap all = load_safetensors(folder.path() / "model.safetensors");
  fs::remove(folder.path() / "model.safetensors");
  ParameterMap shards[2];
  OrderedJson index;
  for (const auto& [name, tensor] : all) {
    const int shard = name.starts_with("decoder.") ? 0 : 1;
    shards[shard][name] = tensor;
    index["weight_map"][name] = fmt::format("model-{}.safetensors", shard);
  }
  for (int i : {0, 1})
    save_safetensors(shards[i], folder.path() / fmt::format("model-{}.safetensors", i));
  write_json_atomic(folder.path() / "model.safetensors.index.json", index);
  const std::unique_ptr<T5> loaded = load_t5(folder.path());
  for (const auto& [name, tensor] : model->parameters())
    EXPECT_TRUE(at::equal(tensor, loaded->parameters().at(name))) << name;
}

TEST(T5, one_error_names_everything_that_does_not_fit) {
  const std::string message = load_changed([](ParameterMap& tensors) {
    tensors.erase("encoder.final_layer_norm.weight");
    tensors["decoder.block.1.layer.2.DenseReluDense.wo.weight"] = at::ones({2, 3});
    tensors["encoder.block.0.layer.0.SelfAttention.q.bias"] = at::ones({3});
  });
  for (const char* part : {"encoder.final_layer_norm", "wo.weight", "2 x 3", "q.bias"})
    EXPECT_NE(message.find(part), std::string::npos) << part;
  EXPECT_NE(load_changed([](ParameterMap& tensors) {
              tensors["encoder.embed_tokens.weight"] = at::ones({2, 3});
            }).find("encoder.embed_tokens.weight"),
            std::string::npos);
}

std::string refusal(const std::function<void(OrderedJson&)>& change) {
  const TemporaryFolder folder("t5-refused");
  write_t5_config(small_t5(), folder.path());
  OrderedJson json = OrderedJson::parse(read_file(folder.path() / "config.json"));
  change(json);
  write_json_atomic(folder.path() / "config.json", json);
  return error_of([&] { read_t5_config(folder.path()); });
}

TEST(T5Config, refuses_by_name_what_it_does_not_compute) {
  EXPECT_EQ(refusal([](OrderedJson&) {}), "");
  const auto expect_named = [](const std::string& key, const Json& value) {
    EXPECT_NE(refusal([&](OrderedJson& json) { json[key] = value; }).find(key), std::string::npos)
        << key << " " << value;
  };
  expect_named("model_type", "mt5");
  expect_named("model_type", nullptr);
  expect_named("feed_forward_proj", "gated-silu");
  expect_named("dense_act_fn", "gelu");
  expect_named("is_gated_act", false);
  expect_named("is_encoder_decoder", false);
  expect_named("is_decoder", true);
  expect_named("tie_encoder_decoder", true);
  expect_named("pruned_heads", {{"0", {1}}});
  expect_named("quantization_config", {{"bits", 4}});
  expect_named("eos_token_id", Json::array());
  expect_named("eos_token_id", 61);
  expect_named("pad_token_id", -1);
  expect_named("decoder_start_token_id", nullptr);
  expect_named("layer_norm_epsilon", 0);
  expect_named("relative_attention_num_buckets", 3);
  expect_named("relative_attention_max_distance", 4);
  for (const char* key :
       {"vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_decoder_layers", "num_heads"}) {
    expect_named(key, 0);
    expect_named(key, int64_t{1} << 60);
    expect_named(key, "many");
  }
}

TEST(T5Config, the_start_token_may_stand_among_the_generation_options) {
  const TemporaryFolder folder("t5-start");
  write_t5_config(small_t5(), folder.path());
  OrderedJson json = OrderedJson::parse(read_file(folder.path() / "config.json"));
  json.erase("decoder_start_token_id");
  write_json_atomic(folder.path() / "config.json", json);
  write_json_atomic(folder.path() / "generation_config.json", {{"decoder_start_token_id", 3}});
  EXPECT_EQ(read_t5_config(folder.path()).decoder_start_token_id, 3);
}

TEST(T5, refuses_rows_that_do_not_fit) {
  const std::unique_ptr<T5> model = new_t5(small_t5(), 1);
  const TokenForest rows = random_rows({3, 4}, 1);
  const StateRows encoded = encode(*model, rows);
  TokenForest outside;
  outside.add(-1, std::vector<int64_t>{0, 61});
  EXPECT_THROW(encode(*model, TokenForest{}), Error);
  EXPECT_THROW(encode(*model, outside), Error);
  EXPECT_THROW(model->encode(StateRows{encoded.states, {3, 5}}), Error);
  EXPECT_THROW(model->encode(StateRows{encoded.states, {7, 0}}), Error);
  EXPECT_THROW(model->decode(rows, encoded, row_numbers(1)), Error);
  EXPECT_THROW(model->decode(rows, encoded, std::vector<int64_t>{0, 2}), Error);
  EXPECT_THROW(model->hidden_states_at(shift_right(texts_of(rows), model->config(), texts_of(rows)),
                                       std::vector<int64_t>{7}),
               Error);
}

}  // namespace
}  // namespace etrlrec
