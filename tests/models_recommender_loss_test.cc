#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>

#include "base/check.h"
#include "models/recommender_loss.h"
#include "models_recommender_fixture.h"
#include "refusals.h"

namespace etrlrec {
namespace {

using at::Tensor;

constexpr int64_t kLossItems = 7, kLossRows = 4, kLossWidth = 3, kLossDraws = 5;

struct LossCase {
  Tensor hidden, weight, bias, targets;
  Negatives negatives;
};

// `shared`: negatives of the step, among them targets and repetitions. `one_item`: they are nothing
// but the target of the first and the last position.
LossCase make_loss_case(bool shared, bool one_item = false) {
  LossCase c;
  const auto values = [](at::IntArrayRef shape, uint64_t index) {
    Rng rng(5, "loss test", index);
    Tensor out = at::empty(shape);
    float* data = out.data_ptr<float>();
    for (int64_t i = 0; i < out.numel(); ++i) data[i] = static_cast<float>(rng.normal());
    return out.requires_grad_();
  };
  c.hidden = values({kLossRows, kLossWidth}, 1);
  c.weight = values({kLossItems, kLossWidth}, 2);
  c.bias = values({kLossItems}, 3);
  c.targets = at::tensor(std::vector<int64_t>{2, 0, 6, 2});
  c.negatives.items = shared ? at::tensor(std::vector<int64_t>{1, 2, 5, 5, 0})
                             : at::tensor(std::vector<int64_t>{0, 1, 3, 4, 4, 1, 2, 3, 4, 5,
                                                               0, 1, 2, 3, 4, 0, 0, 0, 1, 6})
                                   .reshape({kLossRows, kLossDraws});
  if (one_item) c.negatives.items = at::full({kLossDraws}, 2, at::kLong);
  c.negatives.log_expected = at::tensor(std::vector<double>{-1, .2, -.5, -.5, .3}).to(at::kFloat);
  return c;
}

double logistic(double x) { return 1 / (1 + std::exp(-x)); }

// The formulas of the header for one position in double: the slow twin.
double loss_of_position(const LossOptions& loss, double positive,
                        const std::vector<double>& negatives, const std::vector<bool>& is_target,
                        const std::vector<double>& log_expected) {
  double sum = 0, shares = 0, result = 0;
  if (loss.name == "sampled") {
    for (size_t j = 0; j < negatives.size(); ++j)
      if (!is_target[j]) sum += std::exp(negatives[j] - log_expected[j]);
    return -positive + std::log(std::exp(positive) + sum);
  }
  if (loss.name == "bce" || loss.name == "gbce") {
    const double alpha = static_cast<double>(negatives.size()) / (kLossItems - 1);
    const double beta =
        loss.name == "bce" ? 1 : alpha * (loss.gbce_t * (1 - 1 / alpha) + 1 / alpha);
    result = -beta * std::log(logistic(positive));
    for (const double s : negatives) result -= std::log(1 - logistic(s));
    return result;
  }
  if (loss.name == "bpr") {
    for (const double s : negatives)
      result -= std::log(logistic(positive - s)) / static_cast<double>(negatives.size());
    return result;
  }
  for (size_t j = 0; j < negatives.size(); ++j)
    if (!is_target[j]) shares += std::exp(negatives[j]);
  if (shares == 0) return 0;  // no negative is left
  for (size_t j = 0; j < negatives.size(); ++j) {
    if (is_target[j]) continue;
    const double s = negatives[j], p = std::exp(s) / shares;
    sum += p * logistic(positive - s);
    result += loss.name == "bpr-max" ? loss.bpreg * p * s * s
                                     : p * (logistic(s - positive) + logistic(s * s));
  }
  return loss.name == "bpr-max" ? result - std::log(sum) : result;
}

double loss_by_formula(const LossOptions& loss, const LossCase& c, bool with_bias) {
  const auto score = [&](int64_t t, int64_t item) {
    double sum = with_bias ? c.bias[item].item<double>() : 0;
    for (int64_t k = 0; k < kLossWidth; ++k)
      sum += c.hidden[t][k].item<double>() * c.weight[item][k].item<double>();
    return sum;
  };
  double total = 0;
  for (int64_t t = 0; t < kLossRows; ++t) {
    const int64_t target = c.targets[t].item<int64_t>();
    if (loss.name == "ce") {
      double sum = 0;
      for (int64_t item = 0; item < kLossItems; ++item) sum += std::exp(score(t, item));
      total += std::log(sum) - score(t, target);
      continue;
    }
    const bool shared = c.negatives.items.dim() == 1;
    std::vector<double> negatives, expected;
    std::vector<bool> is_target;
    for (int64_t j = 0; j < kLossDraws; ++j) {
      const auto item = (shared ? c.negatives.items[j] : c.negatives.items[t][j]).item<int64_t>();
      negatives.push_back(score(t, item));
      is_target.push_back(item == target);
      expected.push_back(c.negatives.log_expected[j].item<double>());
    }
    total += loss_of_position(loss, score(t, target), negatives, is_target, expected);
  }
  return total / kLossRows;
}

LossOptions loss_options_of(const LossType& type) {
  LossOptions options;
  options.name = type.name;
  if (type.negatives != NegativesOf::kNone) options.num_negatives = kLossDraws;
  if (options.name == "bpr-max") options.bpreg = 0.7;
  return complete_loss(options, "ce", kLossItems);
}

TEST(RecommenderLoss, every_loss_equals_its_formula_in_value_and_gradients) {
  for (const LossType& type : loss_types()) {
    const bool shared = type.negatives == NegativesOf::kStep;
    for (const int mode : {0, 1, 2, 3}) {
      const bool with_bias = mode % 2 == 1, one_item = shared && mode >= 2;
      for (const Arithmetic arithmetic : {Arithmetic::kFloat, Arithmetic::kReference}) {
        LossCase c = make_loss_case(shared, one_item);
        const LossOptions loss = loss_options_of(type);
        const Tensor found =
            recommender_loss(loss, c.hidden, c.weight, with_bias ? c.bias : Tensor(), c.targets,
                             c.negatives, {arithmetic});
        EXPECT_NEAR(found.item<double>(), loss_by_formula(loss, c, with_bias), 1e-5) << type.name;
        found.backward();
        std::vector<Tensor> inputs{c.hidden, c.weight};
        if (with_bias) inputs.push_back(c.bias);
        for (Tensor& input : inputs) {
          const Tensor gradient = input.grad().reshape(-1);
          const at::NoGradGuard no_grad;
          float* data = input.data_ptr<float>();
          for (int64_t i = 0; i < input.numel(); ++i) {
            const float before = data[i];
            data[i] = before + 1e-3F;
            const double above = loss_by_formula(loss, c, with_bias);
            data[i] = before - 1e-3F;
            const double step = before + 1e-3F - static_cast<double>(data[i]);
            const double slope = (above - loss_by_formula(loss, c, with_bias)) / step;
            data[i] = before;
            EXPECT_NEAR(gradient[i].item<double>(), slope, 2e-4) << type.name << " " << i;
          }
        }
      }
    }
  }
}

double sampled_loss(const LossCase& c, const Negatives& negatives) {
  const LossOptions sampled{.name = "sampled"};
  return recommender_loss(sampled, c.hidden, c.weight, c.bias, c.targets, negatives).item<double>();
}

double full_loss(const LossCase& c) {
  const LossOptions full{.name = "ce"};
  return recommender_loss(full, c.hidden, c.weight, c.bias, c.targets, {}).item<double>();
}

const std::vector<int64_t> kLossTargets{2, 0, 6, 2};
const NegativeSampler kEvenSampler(std::vector<double>(kLossItems, 1.0)),
    kPopularSampler(std::vector<double>{8, 4, 2, 1, 1, 2, 4});

TEST(RecommenderLoss, sampled_softmax_over_all_items_is_the_cross_entropy) {
  const LossCase c = make_loss_case(true);
  Rng rng(3, "draws");
  LossOptions sampled{.name = "sampled", .num_negatives = kLossItems};
  EXPECT_NEAR(sampled_loss(c, draw_negatives(sampled, kEvenSampler, kLossTargets, {}, rng)),
              full_loss(c), 1e-6);
  sampled.num_negatives = 1000;
  sampled.negative_alpha = 1;
  EXPECT_NEAR(sampled_loss(c, draw_negatives(sampled, kPopularSampler, kLossTargets, {}, rng)),
              full_loss(c), 1e-6);
}

// An item that is drawn counts as the inverse of its chance: on average each counts once, and so
// the sum over the negatives is expected to be that over all items.
TEST(RecommenderLoss, sampled_negatives_differ_and_count_each_item_once_on_average) {
  constexpr int64_t kTimes = 20'000;
  for (const double alpha : {0.0, 1.0}) {
    const LossOptions sampled{.name = "sampled", .num_negatives = 3, .negative_alpha = alpha};
    std::vector<double> counts(kLossItems);
    bool fewer = false;
    Rng rng(3, "draws");
    for (int64_t time = 0; time < kTimes; ++time) {
      const Negatives found = draw_negatives(sampled, alpha == 0 ? kEvenSampler : kPopularSampler,
                                             kLossTargets, {}, rng);
      const int64_t* items = found.items.const_data_ptr<int64_t>();
      const float* expected = found.log_expected.const_data_ptr<float>();
      const int64_t size = found.items.numel();
      EXPECT_EQ(size, std::ssize(std::set<int64_t>(items, items + size)));
      fewer = fewer || size < 3;
      for (int64_t j = 0; j < size; ++j)
        counts[static_cast<size_t>(items[j])] += std::exp(-static_cast<double>(expected[j]));
    }
    EXPECT_EQ(fewer, alpha != 0);
    for (const double count : counts) EXPECT_NEAR(count / kTimes, 1, 0.1) << alpha;
  }
}

TEST(RecommenderLoss, bpr_max_of_a_lost_comparison_is_its_margin) {
  const Tensor hidden = at::ones({1, 1}), weight = at::tensor({-100.0F, 100.0F}).unsqueeze(1);
  const Negatives negatives{at::ones({1}, at::kLong), {}};
  const LossOptions loss{.name = "bpr-max", .num_negatives = 1, .bpreg = 0};
  EXPECT_NEAR(recommender_loss(loss, hidden, weight, {}, at::zeros({1}, at::kLong), negatives)
                  .item<double>(),
              200, 1e-3);
}

TEST(RecommenderLoss, negatives_are_neither_targets_nor_seen_and_repeat_with_the_seed) {
  LossOptions bce;
  bce.name = "bce";
  bce.num_negatives = 6;
  bce = complete_loss(bce, "ce", 10);
  const NegativeSampler sampler(std::vector<double>(10, 1.0));
  const std::vector<int64_t> targets{1, 9};
  const std::vector<int32_t> first{0, 1, 2}, second{5, 6, 7, 8};
  const std::vector<std::span<const int32_t>> seen{first, second};
  std::set<int64_t> found[2];
  for (uint64_t index = 0; index < 50; ++index) {
    Rng a(4, "draws", index), b(4, "draws", index);
    const Tensor items = draw_negatives(bce, sampler, targets, seen, a).items;
    EXPECT_TRUE(at::equal(items, draw_negatives(bce, sampler, targets, seen, b).items));
    for (int64_t t = 0; t < 2; ++t)
      for (int64_t j = 0; j < 6; ++j) found[t].insert(items[t][j].item<int64_t>());
  }
  EXPECT_EQ(found[0], (std::set<int64_t>{3, 4, 5, 6, 7, 8, 9}));
  EXPECT_EQ(found[1], (std::set<int64_t>{0, 1, 2, 3, 4}));
}

// Those that are left are drawn once in some 10^11 draws.
TEST(RecommenderLoss, a_user_who_has_seen_all_popular_items_gets_the_others) {
  const LossOptions bce{.name = "bce", .num_negatives = 4, .negative_alpha = 4};
  std::vector<double> weights(10, 1.0);
  std::fill_n(weights.begin(), 7, std::pow(1000.0, 4));
  const NegativeSampler sampler(weights);
  const std::vector<int64_t> targets{3};
  std::vector<int32_t> items{0, 1, 2, 3, 4, 5, 6, 8};
  std::set<int64_t> found;
  Rng rng(4, "draws");
  for (int64_t time = 0; time < 20; ++time) {
    const std::vector<std::span<const int32_t>> seen{items};
    const Tensor drawn = draw_negatives(bce, sampler, targets, seen, rng).items;
    for (int64_t j = 0; j < 4; ++j) found.insert(drawn[0][j].item<int64_t>());
  }
  EXPECT_EQ(found, (std::set<int64_t>{7, 9}));
  items = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  const std::vector<std::span<const int32_t>> all{items};
  refuses([&] { draw_negatives(bce, sampler, targets, all, rng); }, ExitCode::kInput, "found none");
}

TEST(RecommenderLoss, numbers_of_negatives_are_those_of_the_loss_unless_given) {
  EXPECT_EQ(complete_loss({}, "bpr", 1000).name, "bpr");
  EXPECT_EQ(complete_loss({}, "gbce", 1000).num_negatives, 256);
  EXPECT_EQ(complete_loss({}, "gbce", 100).num_negatives, 99);
  EXPECT_EQ(complete_loss({.name = "bce"}, "ce", 100).num_negatives, 1);
}

TEST(RecommenderLoss, refuses_options_that_do_not_go_together) {
  struct RefusedLoss {
    LossOptions options;
    const char* message;
  };
  const RefusedLoss cases[] = {
      {{.name = "oracle"}, "unknown loss"},
      {{.name = "ce", .num_negatives = 5}, "has no negatives"},
      {{.negative_alpha = .5}, "has no negatives"},
      {{.name = "bce", .gbce_t = .5}, "--gbce-t"},
      {{.name = "bce", .bpreg = 2}, "--bpreg"},
      {{.name = "gbce", .gbce_t = 1.5}, "[0, 1]"},
      {{.name = "gbce", .negative_alpha = .5}, "uniform negatives"},
      {{.name = "bce", .num_negatives = 20}, "1 to 19"},
      {{.name = "sampled", .num_negatives = 20}, "1 to 19"},
      {{.name = "bpr-max", .num_negatives = -1}, "--num-negatives"},
      {{.name = "top1-max", .num_negatives = 1'000'001}, "1 to 1000000"},
      {{.name = "bpr-max", .bpreg = -1}, "--bpreg"},
      {{.name = "sampled", .negative_alpha = 9}, "--negative-alpha"},
  };
  for (const RefusedLoss& each : cases)
    refuses([&] { complete_loss(each.options, "ce", 20); }, ExitCode::kUsage, each.message);
  refuses([] { complete_loss({.name = "bce"}, "ce", 1); }, ExitCode::kUsage, "a second item");
  for (const LossType& type : loss_types()) {
    if (type.negatives == NegativesOf::kNone) continue;
    Rng rng(4, "draws");
    refuses([&] { draw_negatives({.name = type.name}, kEvenSampler, kLossTargets, {}, rng); },
            ExitCode::kUsage, "complete loss");
  }
}

TEST(NegativeSampler, draws_as_often_as_the_weights_say) {
  const std::vector<double> weights{1, 0, 6, 2.5, 0.5};
  const NegativeSampler sampler(weights);
  std::vector<int64_t> counts(weights.size());
  Rng rng(11, "draws");
  constexpr int64_t kTimes = 200'000;
  for (int64_t i = 0; i < kTimes; ++i) ++counts[static_cast<size_t>(sampler.draw(rng))];
  EXPECT_EQ(counts[1], 0);
  for (size_t item = 0; item < weights.size(); ++item) {
    const double p = weights[item] / 10;
    EXPECT_DOUBLE_EQ(sampler.probability(static_cast<int64_t>(item)), p);
    EXPECT_NEAR(static_cast<double>(counts[item]) / kTimes, p, 0.005);
  }
}

TEST(NegativeSampler, weights_are_interactions_and_one_to_a_power) {
  const InteractionLog log = two_user_log();
  EXPECT_EQ(popularity_weights(log, 0), (std::vector<double>{1, 1, 1, 1}));
  EXPECT_EQ(popularity_weights(log, 1), (std::vector<double>{4, 3, 2, 1}));
  EXPECT_NEAR(popularity_weights(log, .5)[1], std::sqrt(3), 1e-12);
  refuses([] { NegativeSampler(std::vector<double>{0, 0}); }, ExitCode::kInput, "positive sum");
  refuses([] { NegativeSampler(std::vector<double>{1, -1}); }, ExitCode::kInput, "at least 0");
}

}  // namespace
}  // namespace etrlrec
