// The rank allocator against its formulas written out, the schedule, state, refusals.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/rng.h"
#include "tuning/adalora.h"

namespace etrlrec {
namespace {

LoraConfig small_config(int64_t target_r = 2, int64_t total_step = 12) {
  LoraConfig config{4, 8, {"q", "wo"}};
  config.adalora = AdaLoraConfig{.target_r = target_r,
                                 .tinit = 2,
                                 .tfinal = 3,
                                 .deltaT = 2,
                                 .beta1 = 0.7,
                                 .beta2 = 0.9,
                                 .total_step = total_step};
  return config;
}

at::Tensor random_tensor(std::vector<int64_t> shape, Rng& rng) {
  at::Tensor out = at::empty(shape, at::kFloat);
  for (int64_t i = 0; i < out.numel(); ++i)
    out.data_ptr<float>()[i] = static_cast<float>(rng.normal());
  return out;
}

// Three adapted modules with values of their own.
ParameterMap small_model(const LoraConfig& config, uint64_t seed) {
  ParameterMap map{{"a.q.weight", at::ones({5, 3})},
                   {"b.q.weight", at::ones({6, 4})},
                   {"b.wo.weight", at::ones({2, 7})}};
  attach_lora(map, config, seed);
  Rng rng(seed, "values");
  for (auto& [name, tensor] : map) {
    const at::NoGradGuard no_grad;
    if (is_adapter_parameter(name)) tensor.copy_(random_tensor(tensor.sizes().vec(), rng));
  }
  return map;
}

void set_gradients(ParameterMap& map, int64_t step) {
  Rng rng(11, "gradients", static_cast<uint64_t>(step));
  for (auto& [name, tensor] : map)
    if (tensor.requires_grad()) tensor.mutable_grad() = random_tensor(tensor.sizes().vec(), rng);
}

// The slow twin: element by element, in double.
class SlowAllocator {
 public:
  explicit SlowAllocator(ParameterMap& map) : map_(map), modules_(adapted_modules(map)) {}

  void update(const AdaLoraConfig& c) {
    for (auto& [name, tensor] : map_) {
      if (!tensor.requires_grad()) continue;
      auto& [mean, uncertainty] = state_[name];
      mean.resize(tensor.numel()), uncertainty.resize(tensor.numel());
      for (int64_t i = 0; i < tensor.numel(); ++i) {
        const double importance = std::abs(static_cast<double>(tensor.data_ptr<float>()[i]) *
                                           tensor.grad().data_ptr<float>()[i]);
        mean[i] = c.beta1 * mean[i] + (1 - c.beta1) * importance;
        uncertainty[i] = c.beta2 * uncertainty[i] + (1 - c.beta2) * std::abs(importance - mean[i]);
      }
    }
  }
  double element(const std::string& name, int64_t i) const {
    return state_.at(name).first[i] * state_.at(name).second[i];
  }
  double score(const std::string& module, int64_t rank) const {
    const int64_t inputs = map_.at(module + ".lora_A").size(1),
                  outputs = map_.at(module + ".lora_B").size(0),
                  ranks = map_.at(module + ".lora_A").size(0);
    double a = 0, b = 0;
    for (int64_t c = 0; c < inputs; ++c) a += element(module + ".lora_A", rank * inputs + c);
    for (int64_t r = 0; r < outputs; ++r) b += element(module + ".lora_B", r * ranks + rank);
    return element(module + ".lora_E", rank) + a / static_cast<double>(inputs) +
           b / static_cast<double>(outputs);
  }
  // The `budget` best triplets.
  RankPattern best(int64_t budget, int64_t ranks) const {
    std::vector<std::pair<double, std::pair<std::string, int64_t>>> all;
    RankPattern pattern;
    for (const std::string& module : modules_) {
      pattern[module] = std::vector<bool>(ranks, false);
      for (int64_t i = 0; i < ranks; ++i) all.push_back({score(module, i), {module, i}});
    }
    std::sort(all.begin(), all.end(), [](auto& x, auto& y) { return x.first > y.first; });
    for (int64_t i = 0; i < budget; ++i) pattern[all[i].second.first][all[i].second.second] = true;
    return pattern;
  }

 private:
  ParameterMap& map_;
  std::vector<std::string> modules_;
  std::map<std::string, std::pair<std::vector<double>, std::vector<double>>> state_;
};

void expect_pruned(const ParameterMap& map, const RankPattern& pattern) {
  for (const auto& [module, kept] : pattern)
    for (size_t i = 0; i < kept.size(); ++i)
      EXPECT_EQ(map.at(module + ".lora_E")[static_cast<int64_t>(i)].item<float>() != 0, kept[i]);
}

TEST(RankAllocator, prunes_what_the_formulas_say) {
  const LoraConfig config = small_config();
  ParameterMap map = small_model(config, 1);
  RankAllocator ranks(map, config);
  SlowAllocator slow(map);
  int prunings = 0;
  for (int64_t step = 0; step < 12; ++step) {
    set_gradients(map, step);
    if (step < 9) slow.update(*config.adalora);
    // tinit 2, deltaT 2, last allocation at total_step - tfinal = 9
    const bool prunes = step == 4 || step == 6 || step == 8 || step == 9;
    const RankPattern before = ranks.rank_pattern();
    ranks.update_and_allocate(step);
    for (const auto& [module, found] : ranks.scores())
      for (int64_t i = 0; i < 4; ++i)
        EXPECT_NEAR(found[i].item<double>(), slow.score(module, i), 1e-5 * slow.score(module, i));
    if (prunes) {
      EXPECT_EQ(ranks.rank_pattern(), slow.best(ranks.budget(step), 4)) << step;
      expect_pruned(map, ranks.rank_pattern());
      ++prunings;
    } else {
      EXPECT_EQ(ranks.rank_pattern(), before) << step;
    }
    if (step > 9) expect_pruned(map, ranks.rank_pattern());
    const at::NoGradGuard no_grad;  // an optimiser step: pruned entries grow
    for (auto& [name, tensor] : map)
      if (tensor.requires_grad()) tensor.add_(tensor.grad(), -0.05);
  }
  EXPECT_EQ(prunings, 4);
  ranks.prune();
  expect_pruned(map, ranks.rank_pattern());
}

TEST(RankAllocator, the_budget_falls_by_a_cubic) {
  const LoraConfig config = small_config();
  const ParameterMap map = small_model(config, 1);
  const RankAllocator ranks(map, config);
  const std::vector<int64_t> expected{12, 12, 12, 9, 8, 7, 6, 6, 6, 6, 6, 6};
  // int(6 (1 - (step - 2) / 7)^3 + 6): 9.78, 8.19, 7.12, 6.47, 6.14, 6.02, 6
  for (int64_t step = 0; step < 12; ++step)
    EXPECT_EQ(ranks.budget(step), expected[static_cast<size_t>(step)]) << step;
}

TEST(RankAllocator, keeps_all_ranks_when_the_target_is_the_start) {
  const LoraConfig config = small_config(4);
  ParameterMap map = small_model(config, 1);
  RankAllocator ranks(map, config);
  for (int64_t step = 0; step < 12; ++step) {
    set_gradients(map, step);
    ranks.update_and_allocate(step);
  }
  for (const auto& [module, kept] : ranks.rank_pattern())
    EXPECT_EQ(std::count(kept.begin(), kept.end(), true), 4) << module;
}

TEST(RankAllocator, continues_with_the_same_bits_from_its_state) {
  const LoraConfig config = small_config();
  ParameterMap whole = small_model(config, 1), parts = small_model(config, 1);
  RankAllocator uninterrupted(whole, config), first(parts, config), second(parts, config);
  for (int64_t step = 0; step < 12; ++step) {
    set_gradients(whole, step);
    set_gradients(parts, step);
    uninterrupted.update_and_allocate(step);
    if (step == 5) second.load_state(first.state(), "state");
    (step < 5 ? first : second).update_and_allocate(step);
    EXPECT_EQ(uninterrupted.rank_pattern(), (step < 5 ? first : second).rank_pattern()) << step;
  }
  for (const auto& [name, tensor] : whole) EXPECT_TRUE(at::equal(tensor, parts.at(name))) << name;
  ParameterMap state = second.state();
  state.erase("is_pruned");
  EXPECT_THROW(second.load_state(state, "state"), Error);
}

TEST(RankAllocator, a_missing_gradient_is_no_importance) {
  const LoraConfig config = small_config();
  ParameterMap map = small_model(config, 1);
  RankAllocator ranks(map, config);
  ranks.update_and_allocate(0);
  for (const auto& [module, score] : ranks.scores())
    EXPECT_EQ(score.abs().max().item<double>(), 0) << module;
}

TEST(RankAllocator, refuses_schedules_without_room_and_other_adapters) {
  const LoraConfig good = small_config();
  const ParameterMap map = small_model(good, 1);
  const auto refused = [&](const std::function<void(AdaLoraConfig&)>& change) {
    LoraConfig config = good;
    change(*config.adalora);
    EXPECT_THROW(RankAllocator(map, config), Error);
  };
  EXPECT_NO_THROW(RankAllocator(map, good));
  refused([](AdaLoraConfig& c) { c.total_step = 5; });
  refused([](AdaLoraConfig& c) { c.total_step = 0; });
  refused([](AdaLoraConfig& c) { c.target_r = 5; });
  refused([](AdaLoraConfig& c) { c.target_r = 0; });
  refused([](AdaLoraConfig& c) { c.deltaT = 0; });
  refused([](AdaLoraConfig& c) { c.tinit = -1; });
  refused([](AdaLoraConfig& c) { c.beta1 = 1; });
  refused([](AdaLoraConfig& c) { c.beta2 = 0; });
  refused([](AdaLoraConfig& c) { c.orth_reg_weight = -1; });
  LoraConfig plain{4, 8, {"q", "wo"}};
  ParameterMap lora{{"a.q.weight", at::ones({5, 3})}};
  attach_lora(lora, plain, 1);
  EXPECT_THROW(RankAllocator(lora, plain), Error);
  EXPECT_THROW(RankAllocator(lora, good), Error);
  LoraConfig wider = good;
  wider.r = 6;
  EXPECT_THROW(RankAllocator(map, wider), Error);
}

TEST(Orthogonality, is_the_mean_norm_over_all_factors_with_its_gradient) {
  ParameterMap map = small_model(small_config(), 1);
  double sum = 0;
  for (const auto& [name, tensor] : map) {
    const bool is_a = name.ends_with("lora_A");
    if (!is_a && !name.ends_with("lora_B")) continue;
    double squares = 0;
    for (int64_t i = 0; i < 4; ++i)
      for (int64_t j = 0; j < 4; ++j) {
        double dot = 0;
        const int64_t length = is_a ? tensor.size(1) : tensor.size(0);
        for (int64_t k = 0; k < length; ++k)
          dot += is_a ? tensor[i][k].item<double>() * tensor[j][k].item<double>()
                      : tensor[k][i].item<double>() * tensor[k][j].item<double>();
        squares += (dot - (i == j)) * (dot - (i == j));
      }
    sum += std::sqrt(squares);
  }
  const at::Tensor found = orthogonality(map);
  EXPECT_NEAR(found.item<double>(), sum / 6, 1e-5 * sum);
  found.backward();
  EXPECT_GT(map.at("a.q.lora_A").grad().abs().max().item<double>(), 0);
  EXPECT_FALSE(map.at("a.q.lora_E").grad().defined());
  EXPECT_THROW(orthogonality({{"a.q.weight", at::ones({2, 2})}}), Error);
}

}  // namespace
}  // namespace etrlrec
