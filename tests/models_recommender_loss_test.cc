#include <ATen/ATen.h>
#include <gtest/gtest.h>

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

// `shared`: negatives of the step, among them targets and repetitions.
LossCase make_loss_case(bool shared) {
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
    for (const bool with_bias : {false, true}) {
      for (const Arithmetic arithmetic : {Arithmetic::kFloat, Arithmetic::kReference}) {
        LossCase c = make_loss_case(type.negatives == NegativesOf::kStep);
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

// With every item drawn once as it is expected, importance sampling is the sum itself.
TEST(RecommenderLoss, sampled_softmax_over_all_items_is_the_cross_entropy) {
  LossCase c = make_loss_case(true);
  c.negatives.items = at::arange(kLossItems, at::kLong);
  c.negatives.log_expected = at::zeros({kLossItems});
  LossOptions sampled, full;
  sampled.name = "sampled";
  full.name = "ce";
  EXPECT_NEAR(
      recommender_loss(sampled, c.hidden, c.weight, c.bias, c.targets, c.negatives).item<double>(),
      recommender_loss(full, c.hidden, c.weight, c.bias, c.targets, {}).item<double>(), 1e-6);
}

TEST(RecommenderLoss, the_log_q_correction_makes_draws_by_popularity_unbiased) {
  const LossCase c = make_loss_case(true);
  LossOptions sampled, full;
  sampled.name = "sampled";
  sampled.num_negatives = 200'000;
  full.name = "ce";
  const NegativeSampler sampler(std::vector<double>{8, 4, 2, 1, 1, 2, 4});
  Rng rng(3, "draws");
  const std::vector<int64_t> targets{2, 0, 6, 2};
  const Negatives negatives = draw_negatives(sampled, sampler, targets, {}, rng);
  EXPECT_NEAR(
      recommender_loss(sampled, c.hidden, c.weight, c.bias, c.targets, negatives).item<double>(),
      recommender_loss(full, c.hidden, c.weight, c.bias, c.targets, {}).item<double>(), 0.01);
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
      {{.name = "bpr-max", .num_negatives = -1}, "--num-negatives"},
      {{.name = "bpr-max", .bpreg = -1}, "--bpreg"},
      {{.name = "sampled", .negative_alpha = 9}, "--negative-alpha"},
  };
  for (const RefusedLoss& each : cases)
    refuses([&] { complete_loss(each.options, "ce", 20); }, ExitCode::kUsage, each.message);
  refuses([] { complete_loss({.name = "bce"}, "ce", 1); }, ExitCode::kUsage, "a second item");
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
