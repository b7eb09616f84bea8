#include "models/recommender_loss.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "base/check.h"
#include "models/gathered_scores.h"
#include "nn/logprob.h"

namespace etrlrec {
namespace {

using at::Tensor;

constexpr double kLeftOut = -1e30;          // score of a negative that is the target
constexpr int64_t kMostShared = 1'000'000;  // negatives of a step
constexpr int64_t kMostRejections = 64;

constexpr LossType kLosses[] = {
    {"ce", "full cross-entropy", "", NegativesOf::kNone},
    {"sampled", "sampled softmax with logQ correction, 1000 negatives of a step",
     "Bengio and Senecal 2008", NegativesOf::kStep, 1000},
    {"bce", "binary cross-entropy, 1 unseen negative of a position", "Kang and McAuley 2018",
     NegativesOf::kPosition, 1, true},
    {"gbce", "generalised binary cross-entropy, 256 negatives of a position",
     "Petrov and Macdonald 2023", NegativesOf::kPosition, 256},
    {"bpr", "Bayesian personalised ranking, 1 unseen negative of a position", "Rendle et al. 2009",
     NegativesOf::kPosition, 1, true},
    {"bpr-max", "BPR-max, 2048 negatives of a step", "Hidasi and Karatzoglou 2018",
     NegativesOf::kStep, 2048},
    {"top1-max", "TOP1-max, 2048 negatives of a step", "Hidasi and Karatzoglou 2018",
     NegativesOf::kStep, 2048},
};

Tensor full_cross_entropy(Tensor hidden, Tensor weight, const Tensor& bias, const Tensor& targets,
                          const Numerics& numerics) {
  const int64_t count = targets.size(0);
  if (bias.defined()) {
    hidden = at::cat({hidden, at::ones({count, 1}, hidden.options())}, 1);
    weight = at::cat({weight, bias.unsqueeze(1)}, 1);
  }
  const Tensor shares = at::full({count}, 1.0 / static_cast<double>(count));
  return linear_nll(hidden, weight, targets, shares, numerics);
}

// positive [T], negatives [T, k], hits bool [T, k] or undefined -> [T]
Tensor row_losses(const LossOptions& loss, int64_t num_items, const Tensor& positive,
                  const Tensor& negatives, const Tensor& hits, const Tensor& log_expected) {
  const auto without_hits = [&](const Tensor& scores) {
    return hits.defined() ? scores.masked_fill(hits, kLeftOut) : scores;
  };
  const Tensor column = positive.unsqueeze(1);  // [T, 1]
  if (loss.name == "sampled") {
    const Tensor corrected = without_hits(negatives - log_expected);
    return at::logsumexp(at::cat({column, corrected}, 1), 1) - positive;
  }
  if (loss.name == "bce" || loss.name == "gbce") {
    double beta = 1;
    if (loss.name == "gbce") {
      const double alpha =
          static_cast<double>(loss.num_negatives) / static_cast<double>(num_items - 1);
      beta = alpha * (loss.gbce_t * (1 - 1 / alpha) + 1 / alpha);
    }
    return beta * at::softplus(-positive) + at::softplus(negatives).sum(1);
  }
  if (loss.name == "bpr") return at::softplus(negatives - column).mean(1);
  const Tensor log_shares = at::log_softmax(without_hits(negatives), 1), shares = log_shares.exp();
  const Tensor squares = negatives.square();
  const Tensor losses =
      loss.name == "bpr-max"
          ? loss.bpreg * (shares * squares).sum(1) -
                at::logsumexp(log_shares + at::log_sigmoid(column - negatives), 1)
          : (shares * (at::sigmoid(negatives - column) + at::sigmoid(squares))).sum(1);
  return hits.defined() ? losses * hits.all(1).logical_not() : losses;
}

// Distinct items with the logarithm of the chance that each is among them.
Negatives draw_distinct(const LossOptions& loss, const NegativeSampler& sampler, Rng& rng) {
  const int64_t num_items = sampler.num_items();
  std::vector<int64_t> items;
  std::vector<float> log_expected;
  if (loss.negative_alpha == 0) {  // the first places of a shuffled catalogue
    const int64_t count = std::min(loss.num_negatives, num_items);
    items.resize(static_cast<size_t>(num_items));
    std::iota(items.begin(), items.end(), 0);
    for (int64_t j = 0; j < count; ++j) {
      const auto place = static_cast<size_t>(j);
      std::swap(items[place], items[place + rng.below(static_cast<uint64_t>(num_items - j))]);
    }
    items.resize(static_cast<size_t>(count));
    const double share = static_cast<double>(count) / static_cast<double>(num_items);
    log_expected.assign(items.size(), static_cast<float>(std::log(share)));
  } else {
    for (int64_t j = 0; j < loss.num_negatives; ++j) items.push_back(sampler.draw(rng));
    std::sort(items.begin(), items.end());
    items.erase(std::unique(items.begin(), items.end()), items.end());
    const auto draws = static_cast<double>(loss.num_negatives);
    for (const int64_t item : items) {
      const double log_missed = draws * std::log1p(-sampler.probability(item));
      log_expected.push_back(static_cast<float>(std::log(-std::expm1(log_missed))));
    }
  }
  return {at::tensor(items), at::tensor(log_expected)};
}

// Fills `items` with draws of a position that are neither its target nor among `seen`, ascending.
void draw_others(const NegativeSampler& sampler, int64_t target, std::span<const int32_t> seen,
                 Rng& rng, std::span<int64_t> items) {
  std::vector<double> left;  // weights of what may be drawn, once draws were refused too often
  for (int64_t& item : items) {
    int64_t refused = 0;
    const auto may_not = [&] {
      return item == target || std::binary_search(seen.begin(), seen.end(), item);
    };
    if (left.empty()) {
      do {
        item = sampler.draw(rng);
      } while (may_not() && ++refused < kMostRejections);
      if (refused < kMostRejections) continue;
      for (int64_t i = 0; i < sampler.num_items(); ++i) left.push_back(sampler.probability(i));
      left[static_cast<size_t>(target)] = 0;
      for (const int32_t other : seen) left[static_cast<size_t>(other)] = 0;
      CHECK(std::any_of(left.begin(), left.end(), [](double weight) { return weight > 0; }), kInput,
            "negatives: expected an item besides the target {} and {} that were seen, found none\n"
            "hint: --loss ce or sampled",
            target, seen.size());
    }
    item = static_cast<int64_t>(rng.weighted(left));
  }
}

}  // namespace

std::span<const LossType> loss_types() { return kLosses; }

std::vector<std::string> loss_names() {
  std::vector<std::string> names;
  for (const LossType& type : kLosses) names.emplace_back(type.name);
  return names;
}

const LossType& loss_type(const std::string& name) {
  for (const LossType& type : kLosses)
    if (name == type.name) return type;
  fail(ExitCode::kUsage, "unknown loss \"{}\"; known: {}", name, fmt::join(loss_names(), ", "));
}

LossOptions complete_loss(const LossOptions& given, const std::string& own, int64_t num_items) {
  LossOptions loss = given;
  if (loss.name.empty()) loss.name = own;
  const LossType& type = loss_type(loss.name);
  const LossOptions defaults;
  const bool draws = type.negatives != NegativesOf::kNone;
  CHECK(draws || (loss.num_negatives == 0 && loss.negative_alpha == 0), kUsage,
        "--num-negatives, --negative-alpha: the loss {} has no negatives\nhint: --loss sampled",
        loss.name);
  CHECK(loss.name == "gbce" || loss.gbce_t == defaults.gbce_t, kUsage,
        "--gbce-t: only with the loss gbce, not {}", loss.name);
  CHECK(loss.name == "bpr-max" || loss.bpreg == defaults.bpreg, kUsage,
        "--bpreg: only with the loss bpr-max, not {}", loss.name);
  CHECK(loss.gbce_t >= 0 && loss.gbce_t <= 1, kUsage,
        "--gbce-t: expected a value in [0, 1], found {}", loss.gbce_t);
  CHECK(std::isfinite(loss.bpreg) && loss.bpreg >= 0, kUsage,
        "--bpreg: expected a value of at least 0, found {}", loss.bpreg);
  CHECK(std::isfinite(loss.negative_alpha) && std::abs(loss.negative_alpha) <= 4, kUsage,
        "--negative-alpha: expected a value in [-4, 4], found {}", loss.negative_alpha);
  CHECK(loss.name != "gbce" || loss.negative_alpha == 0, kUsage,
        "--negative-alpha: gbce is calibrated for uniform negatives, expected 0, found {}",
        loss.negative_alpha);
  if (!draws) return loss;
  CHECK(num_items > 1, kUsage, "the loss {} needs a second item to draw", loss.name);
  const bool own_draws = type.negatives == NegativesOf::kPosition;
  const int64_t others = num_items - 1;
  const bool differ = own_draws || loss.name == "sampled";
  const int64_t most = differ ? others : kMostShared;
  CHECK(loss.num_negatives >= 0 && loss.num_negatives <= most, kUsage,
        "--num-negatives: expected 1 to {}, {}, found {}", most,
        differ ? "the other items" : "whose scores are held for each position", loss.num_negatives);
  if (loss.num_negatives == 0) loss.num_negatives = std::min(type.num_negatives, others);
  return loss;
}

Negatives draw_negatives(const LossOptions& loss, const NegativeSampler& sampler,
                         std::span<const int64_t> targets,
                         std::span<const std::span<const int32_t>> seen, Rng& rng) {
  const LossType& type = loss_type(loss.name);
  if (type.negatives == NegativesOf::kNone) return {};
  const int64_t count = loss.num_negatives;
  CHECK(count > 0, kUsage, "{}: expected a complete loss, found one without a number of negatives",
        loss.name);
  if (loss.name == "sampled") return draw_distinct(loss, sampler, rng);
  const auto rows = static_cast<int64_t>(targets.size());
  Negatives negatives;
  if (type.negatives == NegativesOf::kStep) {
    negatives.items = at::empty({count}, at::kLong);
    int64_t* items = negatives.items.data_ptr<int64_t>();
    std::generate_n(items, count, [&] { return sampler.draw(rng); });
    return negatives;
  }
  negatives.items = at::empty({rows, count}, at::kLong);
  int64_t* items = negatives.items.data_ptr<int64_t>();
  for (int64_t t = 0; t < rows; ++t) {
    std::span<const int32_t> others;
    if (type.leaves_out_seen && !seen.empty()) others = seen[static_cast<size_t>(t)];
    draw_others(sampler, targets[static_cast<size_t>(t)], others, rng,
                {items + t * count, static_cast<size_t>(count)});
  }
  return negatives;
}

Tensor recommender_loss(const LossOptions& loss, const Tensor& hidden, const Tensor& item_weight,
                        const Tensor& item_bias, const Tensor& targets, const Negatives& negatives,
                        const Numerics& numerics) {
  const LossType& type = loss_type(loss.name);
  if (type.negatives == NegativesOf::kNone)
    return full_cross_entropy(hidden, item_weight, item_bias, targets, numerics);
  const bool shared = type.negatives == NegativesOf::kStep;
  const Tensor column = targets.unsqueeze(1);  // [T, 1]
  Tensor positive = gathered_scores(hidden, item_weight, column, numerics).squeeze(1);
  Tensor scores = shared ? at::mm(hidden, at::embedding(item_weight, negatives.items).t())
                         : gathered_scores(hidden, item_weight, negatives.items, numerics);
  if (item_bias.defined()) {
    const Tensor bias = item_bias.unsqueeze(1);  // [N, 1]
    positive = positive + at::embedding(bias, targets).squeeze(-1);
    scores = scores + at::embedding(bias, negatives.items).squeeze(-1);
  }
  const Tensor hits = shared ? negatives.items.unsqueeze(0) == column : Tensor();  // [T, k]
  return row_losses(loss, item_weight.size(0), positive, scores, hits, negatives.log_expected)
      .mean();
}

}  // namespace etrlrec
