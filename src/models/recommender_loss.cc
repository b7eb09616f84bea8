#include "models/recommender_loss.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "models/gathered_scores.h"
#include "nn/logprob.h"

namespace etrlrec {
namespace {

using at::Tensor;

constexpr double kLeftOut = -1e30;  // score of a negative that is the target

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
  const Tensor shares = at::softmax(without_hits(negatives), 1);
  if (loss.name == "bpr-max") {
    const Tensor won = (shares * at::sigmoid(column - negatives)).sum(1);
    return loss.bpreg * (shares * negatives.square()).sum(1) - at::log(won + 1e-24);
  }
  return (shares * (at::sigmoid(negatives - column) + at::sigmoid(negatives.square()))).sum(1);
}

}  // namespace

std::span<const LossType> loss_types() { return kLosses; }

std::vector<std::string> loss_names() {
  std::vector<std::string> names;
  for (const LossType& type : kLosses) names.emplace_back(type.name);
  return names;
}

const LossType& loss_type(const std::string& name) {
  std::string known;
  for (const LossType& type : kLosses) {
    if (name == type.name) return type;
    known += (known.empty() ? "" : ", ") + std::string(type.name);
  }
  fail(ExitCode::kUsage, "unknown loss \"{}\"; known: {}", name, known);
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
  CHECK(loss.num_negatives >= 0 && (!own_draws || loss.num_negatives <= others), kUsage,
        "--num-negatives: expected 1 to {}, the other items, found {}", others, loss.num_negatives);
  if (loss.num_negatives == 0) loss.num_negatives = std::min(type.num_negatives, others);
  return loss;
}

Negatives draw_negatives(const LossOptions& loss, const NegativeSampler& sampler,
                         std::span<const int64_t> targets,
                         std::span<const std::span<const int32_t>> seen, Rng& rng) {
  const LossType& type = loss_type(loss.name);
  if (type.negatives == NegativesOf::kNone) return {};
  const int64_t count = loss.num_negatives;
  const auto rows = static_cast<int64_t>(targets.size());
  const bool shared = type.negatives == NegativesOf::kStep;
  Negatives negatives;
  negatives.items = shared ? at::empty({count}, at::kLong) : at::empty({rows, count}, at::kLong);
  int64_t* items = negatives.items.data_ptr<int64_t>();
  if (shared) {
    negatives.log_expected = at::empty({count});
    float* expected = negatives.log_expected.data_ptr<float>();
    for (int64_t j = 0; j < count; ++j) {
      items[j] = sampler.draw(rng);
      const double draws = static_cast<double>(count) * sampler.probability(items[j]);
      expected[j] = static_cast<float>(std::log(draws));
    }
    return negatives;
  }
  for (int64_t t = 0; t < rows; ++t) {
    const int64_t target = targets[static_cast<size_t>(t)];
    std::span<const int32_t> others;
    if (type.leaves_out_seen && !seen.empty()) others = seen[static_cast<size_t>(t)];
    for (int64_t j = 0; j < count; ++j) {
      int32_t item = sampler.draw(rng);
      while (item == target || std::binary_search(others.begin(), others.end(), item))
        item = sampler.draw(rng);
      items[t * count + j] = item;
    }
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
