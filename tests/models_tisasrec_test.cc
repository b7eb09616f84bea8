#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/json.h"
#include "models/tisasrec.h"
#include "models_recommender_fixture.h"
#include "refusals.h"

namespace etrlrec {
namespace {

using at::Tensor;

TiSasrecConfig tiny_tisasrec() {
  TiSasrecConfig config;
  config.layers.num_items = 12;
  config.layers.hidden_size = 8;
  config.layers.intermediate_size = 12;
  config.layers.max_length = 6;
  config.layers.initializer_range = 0.5;
  config.time_span = 4;
  return config;
}

struct TimedEvents {
  std::vector<int32_t> items;
  std::vector<int64_t> times;
};
const TimedEvents kTimedEvents[] = {
    {{1, 2, 3, 4, 1}, {0, 10, 10, 14, 90}}, {{7}, {5}}, {{8, 9, 1}, {3, 3, 3}}};

ItemSequences timed_sequences(std::span<const TimedEvents> all) {
  ItemSequences sequences;
  for (const TimedEvents& events : all) sequences.add_history({events.items, events.times, 0});
  return sequences;
}

// Li et al. 2020 with one query, head and key at a time: the slow twin. [n, C]
Tensor tisasrec_formula(TiSasrec& model, const TiSasrecConfig& config, const TimedEvents& events) {
  const ParameterMap& p = model.parameters();
  const ItemTransformerConfig& c = config.layers;
  const ItemTransformer pieces(c, p, {});
  const auto n = std::ssize(events.items);
  const int64_t size = c.hidden_size / c.num_attention_heads;
  const auto row = [&](const char* table, const char* side, int64_t index) {
    return p.at(fmt::format("{}_embeddings.{}.weight", table, side))[index];
  };
  Tensor hidden = at::stack([&] {
    std::vector<Tensor> rows;
    for (const int32_t item : events.items) rows.push_back(model.item_weight()[item]);
    return rows;
  }());
  for (int64_t layer = 0; layer < c.num_hidden_layers; ++layer) {
    const std::string prefix = fmt::format("layers.{}.", layer);
    const Tensor qkv = pieces.linear(pieces.layer_norm(hidden, prefix + "attention_norm"),
                                     prefix + "attention.qkv");
    std::vector<Tensor> gathered;
    for (int64_t i = 0; i < n; ++i) {
      double unit = 0;
      for (int64_t e = 1; e <= i; ++e) {
        const double gap = static_cast<double>(events.times[e] - events.times[e - 1]);
        if (gap > 0 && (unit == 0 || gap < unit)) unit = gap;
      }
      std::vector<Tensor> heads;
      for (int64_t h = 0; h < c.num_attention_heads; ++h) {
        const auto part = [&](const Tensor& values) { return values.narrow(0, h * size, size); };
        std::vector<Tensor> logits, values;
        for (int64_t j = 0; j <= i; ++j) {
          const double gap = static_cast<double>(events.times[i] - events.times[j]);
          const int64_t r = unit == 0
                                ? 0
                                : std::min<int64_t>(config.time_span,
                                                    static_cast<int64_t>(std::floor(gap / unit)));
          const int64_t position = c.max_length - n + j;
          const Tensor key = qkv[j].narrow(0, c.hidden_size, c.hidden_size) +
                             row("interval", "key", r) + row("position", "key", position);
          const Tensor value = qkv[j].narrow(0, 2 * c.hidden_size, c.hidden_size) +
                               row("interval", "value", r) + row("position", "value", position);
          logits.push_back(part(qkv[i]).dot(part(key)) / std::sqrt(static_cast<double>(size)));
          values.push_back(part(value));
        }
        heads.push_back(at::mv(at::stack(values).t(), at::softmax(at::stack(logits), 0)));
      }
      gathered.push_back(at::cat(heads));
    }
    hidden = hidden + pieces.linear(at::stack(gathered), prefix + "attention.out");
    const Tensor inner = pieces.layer_norm(hidden, prefix + "feed_forward_norm");
    hidden = hidden + pieces.linear(at::gelu(pieces.linear(inner, prefix + "feed_forward.up")),
                                    prefix + "feed_forward.down");
  }
  return pieces.layer_norm(hidden, "norm");
}

TEST(TiSasrec, intervals_count_the_smallest_gap_until_the_query) {
  const std::vector<int64_t> times{0, 10, 10, 14, 90};
  EXPECT_EQ(time_intervals(times, 9), (std::vector<int64_t>{0, 0, 0, 0, 0,  //
                                                            1, 0, 0, 0, 0,  //
                                                            1, 0, 0, 0, 0,  //
                                                            3, 1, 1, 0, 0,  //
                                                            9, 9, 9, 9, 0}));
}

TEST(TiSasrec, states_and_gradients_equal_the_formula_sequence_by_sequence) {
  TiSasrec model(tiny_tisasrec(), 3);
  const Tensor states = model.hidden_states(timed_sequences(kTimedEvents));
  std::vector<Tensor> expected;
  for (const TimedEvents& events : kTimedEvents)
    expected.push_back(tisasrec_formula(model, tiny_tisasrec(), events));
  const Tensor formula = at::cat(expected);
  EXPECT_LT((states - formula).abs().max().item<double>(), 1e-5);
  const Tensor weights = at::arange(states.numel()).reshape_as(states).sin();
  std::map<std::string, Tensor> gradients;
  (states * weights).sum().backward();
  for (auto& [name, tensor] : model.parameters()) {
    gradients[name] = tensor.grad().clone();
    tensor.mutable_grad().zero_();
  }
  (formula * weights).sum().backward();
  for (auto& [name, tensor] : model.parameters())
    EXPECT_LT((gradients.at(name) - tensor.grad()).abs().max().item<double>(), 1e-4) << name;
}

TEST(TiSasrec, no_state_depends_on_what_comes_later) {
  const TiSasrec model(tiny_tisasrec(), 3);
  const TimedEvents all = kTimedEvents[0];
  const TimedEvents changed{{1, 2, 3, 9, 5}, {0, 10, 10, 11, 12}};
  const Tensor states = model.hidden_states(timed_sequences({{all}}));
  EXPECT_TRUE(at::allclose(states.slice(0, 0, 3),
                           model.hidden_states(timed_sequences({{changed}})).slice(0, 0, 3), 1e-5,
                           1e-6));
}

TEST(TiSasrec, scores_know_how_far_events_lie_apart_and_need_times) {
  const TiSasrec model(tiny_tisasrec(), 3);
  const std::vector<int32_t> items{1, 2, 3};
  const std::vector<int64_t> near{0, 1, 2}, far{0, 1, 30};
  const HistoryView views[] = {{items, near, 0}, {items, far, 0}, {items, {}, 0}};
  EXPECT_FALSE(at::allclose(model.score({views, 1}), model.score({views + 1, 1}), 1e-3, 1e-4));
  refuses([&] { model.score({views + 2, 1}); }, ExitCode::kInput, "time of each item");
}

TEST(TiSasrec, comes_back_from_its_folder) {
  const ScopedFolder folder("tisasrec");
  const TiSasrec model(tiny_tisasrec(), 3);
  model.save(folder.path());
  const auto loaded = load_recommender(folder.path());
  EXPECT_EQ(scores_of(model, {1, 2}, 0), scores_of(*loaded, {1, 2}, 0));
  Json config = read_json(folder.path() / "config.json");
  config["time_span"] = 0;
  write_file_atomic(folder.path() / "config.json", config.dump());
  refuses([&] { TiSasrec::load(folder.path()); }, ExitCode::kModel, "time_span");
  config["time_span"] = 4097;
  write_file_atomic(folder.path() / "config.json", config.dump());
  refuses([&] { TiSasrec::load(folder.path()); }, ExitCode::kModel, "[1, 4096]");
}

TEST(TiSasrec, refuses_keys_that_it_does_not_look_at) {
  const ScopedFolder folder("tisasrec-keys");
  TiSasrec(tiny_tisasrec(), 3).save(folder.path());
  const Json saved = read_json(folder.path() / "config.json");
  const std::pair<const char*, Json> others[] = {
      {"position_alignment", "start"}, {"scale_embeddings", true}, {"embedding_norm", true}};
  for (const auto& [key, value] : others) {
    Json config = saved;
    config[key] = value;
    write_file_atomic(folder.path() / "config.json", config.dump());
    refuses([&] { TiSasrec::load(folder.path()); }, ExitCode::kModel, key);
  }
}

}  // namespace
}  // namespace etrlrec
