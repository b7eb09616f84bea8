#include "temporal/verifier.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <tuple>

#include "temporal/claim_numbers.h"
#include "temporal/names.h"
#include "temporal/predicates.h"

namespace etrlrec {
namespace {

constexpr double kFalseFactor = 2;        // rho
constexpr double kBudgetBits = 3;         // B_d: bits that cover a dimension
constexpr size_t kCoveredDimensions = 3;  // IS, IAT and UET

// Two claims say the same when predicate and values agree, in whatever order their kinds stand.
using Identity = std::tuple<std::string_view, std::vector<std::pair<ArgumentKind, int32_t>>>;
Identity identity_of(const ResolvedClaim& claim) {
  const Predicate& predicate = predicate_table()[claim.index];
  std::vector<std::pair<ArgumentKind, int32_t>> values;
  for (size_t i = 0; i < predicate.arity(); ++i)
    values.emplace_back(predicate.kinds[i], claim.values[i]);
  std::stable_sort(values.begin(), values.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  return {predicate.name, values};
}

bool share_argument(const ResolvedClaim& a, const ResolvedClaim& b) {
  const Predicate &p = predicate_table()[a.index], &q = predicate_table()[b.index];
  for (size_t i = 0; i < p.arity(); ++i)
    for (size_t j = 0; j < q.arity(); ++j)
      if (p.kinds[i] == q.kinds[j] && a.values[i] == b.values[j]) return true;
  return false;
}

bool contradict(const ResolvedClaim& a, const ResolvedClaim& b) {
  const Predicate &p = predicate_table()[a.index], &q = predicate_table()[b.index];
  return (p.opposite == q.name || q.opposite == p.name) && share_argument(a, b);
}

void mark_contradictions(const std::vector<std::optional<ResolvedClaim>>& resolved,
                         std::vector<JudgedClaim>& judged) {
  for (size_t i = 0; i < resolved.size(); ++i)
    for (size_t j = i + 1; j < resolved.size(); ++j)
      if (resolved[i] && resolved[j] && contradict(*resolved[i], *resolved[j]))
        judged[i].verdict = judged[j].verdict = Verdict::kFalse;
}

void mark_counted(const std::vector<std::optional<ResolvedClaim>>& resolved,
                  std::vector<JudgedClaim>& judged) {
  std::vector<Identity> seen;
  std::array<int32_t, kNumDimensions> earned{};
  for (size_t i = 0; i < judged.size(); ++i) {
    if (!resolved[i]) continue;
    Identity identity = identity_of(*resolved[i]);
    if (std::find(seen.begin(), seen.end(), identity) != seen.end()) {
      judged[i].counted = false;
      continue;
    }
    seen.push_back(std::move(identity));
    if (judged[i].verdict != Verdict::kTrue || judged[i].weight <= 0) continue;
    int32_t& used = earned[static_cast<size_t>(judged[i].dimension)];
    judged[i].counted = used++ < kCountedClaims;
  }
}

// What the link claims ask of the answer.
struct LinkDemands {
  // Attributes, or candidates from 0; a followed place without a candidate is -1.
  std::vector<int32_t> needs, avoided, picked, pruned, sequels, followed;
};

LinkDemands read_demands(std::span<const JudgedClaim> claims, const ClaimContext& context) {
  LinkDemands demands;
  std::vector<int32_t> lacking;
  for (const JudgedClaim& judged : claims) {
    if (judged.verdict != Verdict::kTrue) continue;
    const auto resolved = resolve_claim(judged.claim, context);
    if (!resolved) continue;
    const Predicate& predicate = predicate_table()[resolved->index];
    const auto collect = [&](Demand demand, ArgumentKind kind, std::vector<int32_t>& out) {
      if (predicate.demand != demand) return;
      for (size_t i = 0; i < predicate.arity(); ++i)
        if (predicate.kinds[i] == kind) out.push_back(resolved->values[i]);
    };
    collect(Demand::kNeed, ArgumentKind::kAttribute, demands.needs);
    collect(Demand::kAvoid, ArgumentKind::kAttribute, demands.avoided);
    collect(Demand::kLack, ArgumentKind::kAttribute, lacking);
    collect(Demand::kPick, ArgumentKind::kCandidate, demands.picked);
    collect(Demand::kPrune, ArgumentKind::kCandidate, demands.pruned);
    collect(Demand::kSequel, ArgumentKind::kCandidate, demands.sequels);
    collect(Demand::kFollow, ArgumentKind::kPlace, demands.followed);
  }
  for (int32_t& place : demands.followed)
    place = context.facts.pattern[static_cast<size_t>(place)].candidate;
  std::erase_if(demands.needs, [&](int32_t a) {
    return std::find(lacking.begin(), lacking.end(), a) != lacking.end();
  });
  return demands;
}

// Candidates (from 0) that meet the longest satisfiable beginning of the needs; empty without any.
std::vector<int32_t> satisfying(const LinkDemands& demands, const ClaimContext& context) {
  std::vector<int32_t> left(context.request.candidates.size());
  std::iota(left.begin(), left.end(), 0);
  bool narrowed = false;
  for (const int32_t a : demands.needs) {
    std::vector<int32_t> next;
    for (const int32_t k : left)
      if (has_attribute(context.catalogue, context.request.candidates[k], a)) next.push_back(k);
    if (next.empty()) break;
    left = std::move(next);
    narrowed = true;
  }
  if (narrowed) return left;
  if (!demands.followed.empty()) return {demands.followed.front()};
  const bool sequel = std::any_of(demands.picked.begin(), demands.picked.end(), [&](int32_t k) {
    return std::find(demands.sequels.begin(), demands.sequels.end(), k) != demands.sequels.end();
  });
  if (!sequel) return {};
  left = demands.sequels;
  std::sort(left.begin(), left.end());
  left.erase(std::unique(left.begin(), left.end()), left.end());
  return left;
}

double link_score(std::span<const JudgedClaim> claims, int32_t answer,
                  const ClaimContext& context) {
  const auto n = static_cast<int32_t>(context.request.candidates.size());
  if (answer < 1 || answer > n) return 0;
  const LinkDemands demands = read_demands(claims, context);
  const int32_t k = answer - 1;
  const auto contains = [](const std::vector<int32_t>& all, int32_t value) {
    return std::find(all.begin(), all.end(), value) != all.end();
  };
  const bool avoided = std::any_of(demands.avoided.begin(), demands.avoided.end(), [&](int32_t a) {
    return has_attribute(context.catalogue, context.request.candidates[k], a);
  });
  const auto is_other = [&](int32_t candidate) { return candidate != k; };
  const bool picked_other = std::any_of(demands.picked.begin(), demands.picked.end(), is_other) ||
                            std::any_of(demands.followed.begin(), demands.followed.end(), is_other);
  if (avoided || picked_other || contains(demands.pruned, k)) return 0;
  const std::vector<int32_t> matches = satisfying(demands, context);
  if (!contains(matches, k)) return 0;
  const double share = static_cast<double>(matches.size()) / n;
  return std::min(1.0, std::log(1 / share) / std::log(4.0));
}

// The predicate, and the number that the text states besides.
Verdict judge(const ResolvedClaim& claim, const std::optional<StatedNumber>& stated,
              const ClaimContext& context) {
  const Verdict verdict = predicate_table()[claim.index].evaluate(context, claim.values);
  if (verdict != Verdict::kTrue || !stated) return verdict;
  const auto measured = claim_number(claim, context);
  if (!measured) return Verdict::kUnverifiable;
  return agrees(stated->value, stated->resolution, *measured) ? verdict : Verdict::kFalse;
}

}  // namespace

std::vector<JudgedClaim> judge_claims(std::vector<Claim> claims, const ClaimContext& context,
                                      const ClaimWeights& weights) {
  const std::vector<double> bits = predicate_bits(weights);
  std::vector<JudgedClaim> judged;
  std::vector<std::optional<ResolvedClaim>> resolved;
  for (Claim& claim : claims) {
    resolved.push_back(resolve_claim(claim, context));
    judged.push_back({std::move(claim)});
    if (!resolved.back()) continue;
    const Predicate& predicate = predicate_table()[resolved.back()->index];
    judged.back().dimension = predicate.dimension;
    judged.back().verdict = judge(*resolved.back(), judged.back().claim.stated, context);
    judged.back().weight = bits[resolved.back()->index];
  }
  mark_contradictions(resolved, judged);
  mark_counted(resolved, judged);
  return judged;
}

ReasoningScore score_reasoning(std::span<const JudgedClaim> claims, int32_t answer,
                               const ClaimContext& context) {
  ReasoningScore score;
  std::array<double, kNumDimensions> gained{};
  double lost = 0;
  for (const JudgedClaim& judged : claims) {
    if (judged.verdict == Verdict::kUnverifiable) {
      if (++score.num_unverifiable > 1) lost += 1;
    } else if (judged.verdict == Verdict::kFalse) {
      ++score.num_false;
      lost += judged.counted ? std::max(1.0, judged.weight) : 0;
    } else {
      ++score.num_true;
      if (judged.counted) gained[static_cast<size_t>(judged.dimension)] += judged.weight;
    }
  }
  const double sum = std::accumulate(gained.begin(), gained.end(), 0.0);
  score.precision = sum > 0 ? sum / (sum + kFalseFactor * lost) : 0;
  for (size_t d = 0; d < kCoveredDimensions; ++d)
    score.coverage += std::min(1.0, gained[d] / kBudgetBits);
  score.coverage /= kCoveredDimensions;
  score.r_temp = score.precision * std::sqrt(score.coverage);
  score.r_link = link_score(claims, answer, context);
  score.r_ver = 0.8 * score.r_temp + 0.2 * score.r_link;
  return score;
}

}  // namespace etrlrec
