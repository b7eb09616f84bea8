#include "temporal/claims.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <tuple>

#include "temporal/claim_weights.h"
#include "temporal/names.h"
#include "temporal/predicates.h"

namespace etrlrec {
namespace {

constexpr double kFalseFactor = 2;  // rho
constexpr double kBudgetBits = 3;
constexpr size_t kMaxNameBytes = 24;

bool is_name_byte(char c) { return (c >= 'a' && c <= 'z') || c == '_'; }
bool is_word_byte(char c) {
  return is_name_byte(c) || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         static_cast<unsigned char>(c) >= 0x80;
}
bool is_separator(char c) { return c == ' ' || c == ','; }
bool ends_arguments(char c) { return c == ')' || c == '(' || c == '<' || c == '>' || c == '\n'; }

// Reads the arguments behind an opening parenthesis at text[position]; false when they are
// malformed. Afterwards `position` is behind the closing parenthesis or at the byte that ended the
// attempt.
bool read_arguments(std::string_view text, size_t& position, std::vector<std::string>& arguments) {
  bool good = true;
  size_t p = position + 1;
  while (p < text.size() && !ends_arguments(text[p])) {
    if (is_separator(text[p])) {
      ++p;
      continue;
    }
    const size_t begin = p;
    while (p < text.size() && !ends_arguments(text[p]) && !is_separator(text[p])) ++p;
    if (arguments.size() == kMaxArguments || p - begin > kMaxWordBytes)
      good = false;
    else
      arguments.emplace_back(text.substr(begin, p - begin));
  }
  const bool closed = p < text.size() && text[p] == ')';
  position = closed ? p + 1 : p;
  return good && closed;
}

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

struct Sides {
  std::string_view one, other;
  ArgumentKind kind;
};
constexpr Sides kContradictions[] = {{"up", "down", ArgumentKind::kAttribute},
                                     {"need", "avoid", ArgumentKind::kAttribute},
                                     {"pick", "prune", ArgumentKind::kCandidate}};

bool share_argument(const ResolvedClaim& a, const ResolvedClaim& b, ArgumentKind kind) {
  const Predicate &p = predicate_table()[a.index], &q = predicate_table()[b.index];
  for (size_t i = 0; i < p.arity(); ++i)
    for (size_t j = 0; j < q.arity(); ++j)
      if (p.kinds[i] == kind && q.kinds[j] == kind && a.values[i] == b.values[j]) return true;
  return false;
}

bool contradict(const ResolvedClaim& a, const ResolvedClaim& b) {
  const std::string_view p = predicate_table()[a.index].name, q = predicate_table()[b.index].name;
  return std::any_of(std::begin(kContradictions), std::end(kContradictions), [&](const Sides& s) {
    return ((p == s.one && q == s.other) || (p == s.other && q == s.one)) &&
           share_argument(a, b, s.kind);
  });
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
  std::vector<int32_t> needs, avoided, picked, pruned, sequels;
};

LinkDemands read_demands(std::span<const JudgedClaim> claims, const ClaimContext& context) {
  LinkDemands demands;
  std::vector<int32_t> lacking;
  for (const JudgedClaim& judged : claims) {
    if (judged.verdict != Verdict::kTrue) continue;
    const auto resolved = resolve_claim(judged.claim, context);
    if (!resolved) continue;
    const Predicate& predicate = predicate_table()[resolved->index];
    const auto collect = [&](ArgumentKind kind, std::vector<int32_t>& out) {
      for (size_t i = 0; i < predicate.arity(); ++i)
        if (predicate.kinds[i] == kind) out.push_back(resolved->values[i]);
    };
    if (predicate.name == "need") collect(ArgumentKind::kAttribute, demands.needs);
    if (predicate.name == "avoid") collect(ArgumentKind::kAttribute, demands.avoided);
    if (predicate.name == "lack") collect(ArgumentKind::kAttribute, lacking);
    if (predicate.name == "pick") collect(ArgumentKind::kCandidate, demands.picked);
    if (predicate.name == "prune") collect(ArgumentKind::kCandidate, demands.pruned);
    if (predicate.name == "sequel") collect(ArgumentKind::kCandidate, demands.sequels);
  }
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
  const bool picked_other = std::any_of(demands.picked.begin(), demands.picked.end(),
                                        [&](int32_t pick) { return pick != k; });
  if (avoided || picked_other || contains(demands.pruned, k)) return 0;
  const std::vector<int32_t> matches = satisfying(demands, context);
  if (!contains(matches, k)) return 0;
  const double share = static_cast<double>(matches.size()) / n;
  return std::min(1.0, std::log(1 / share) / std::log(4.0));
}

}  // namespace

const char* dimension_name(Dimension dimension) {
  constexpr std::array<const char*, kNumDimensions> kNames{"IS", "IAT", "UET", "link"};
  return kNames.at(static_cast<size_t>(dimension));
}

const char* verdict_name(Verdict verdict) {
  constexpr std::array<const char*, 3> kNames{"true", "false", "unverifiable"};
  return kNames.at(static_cast<size_t>(verdict));
}

std::vector<Claim> parse_claims(std::string_view reasoning) {
  const std::string_view text = reasoning.substr(0, kMaxReasoningBytes);
  std::vector<Claim> claims;
  size_t word = 0;  // start of the run of word bytes that ends at p
  for (size_t p = 0; p < text.size() && claims.size() < kMaxClaims;) {
    if (text[p] != '(') {
      if (!is_word_byte(text[p])) word = p + 1;
      ++p;
      continue;
    }
    const std::string_view name = text.substr(word, p - word);
    const bool is_claim = !name.empty() && std::all_of(name.begin(), name.end(), is_name_byte);
    if (is_claim) {
      Claim claim{std::string(name), {}, word, 0};
      const bool good = read_arguments(text, p, claim.arguments);
      if (!good || name.size() > kMaxNameBytes) claim.predicate.clear(), claim.arguments.clear();
      claim.end = p;
      claims.push_back(std::move(claim));
      word = p;  // read_arguments stands behind ')' or at a byte that the loop looks at again
      if (p < text.size() && text[p] == '(') word = ++p;
    } else {
      word = ++p;
    }
  }
  return claims;
}

std::vector<JudgedClaim> judge_claims(std::string_view reasoning, const ClaimContext& context,
                                      const ClaimWeights& weights) {
  const std::vector<double> bits = predicate_bits(weights);
  std::vector<JudgedClaim> judged;
  std::vector<std::optional<ResolvedClaim>> resolved;
  for (Claim& claim : parse_claims(reasoning)) {
    resolved.push_back(resolve_claim(claim, context));
    judged.push_back({std::move(claim)});
    if (!resolved.back()) continue;
    const Predicate& predicate = predicate_table()[resolved.back()->index];
    judged.back().dimension = predicate.dimension;
    judged.back().verdict = predicate.evaluate(context, resolved.back()->values);
    judged.back().weight = bits[resolved.back()->index];
  }
  mark_contradictions(resolved, judged);
  mark_counted(resolved, judged);
  return judged;
}

ReasoningScore score_reasoning(std::span<const JudgedClaim> claims, int32_t answer,
                               const ClaimContext& context) {
  return score_reasoning(claims, answer, context, {kBudgetBits, kBudgetBits, kBudgetBits});
}

ReasoningScore score_reasoning(std::span<const JudgedClaim> claims, int32_t answer,
                               const ClaimContext& context, const std::array<double, 3>& budgets) {
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
  int32_t dimensions = 0;
  for (size_t d = 0; d < budgets.size(); ++d) {
    if (budgets[d] <= 0) continue;  // nothing can be said here
    ++dimensions;
    score.coverage += std::min(1.0, gained[d] / budgets[d]);
  }
  score.coverage = dimensions > 0 ? score.coverage / dimensions : 0;
  score.r_temp = score.precision * std::sqrt(score.coverage);
  score.r_link = link_score(claims, answer, context);
  score.r_ver = 0.8 * score.r_temp + 0.2 * score.r_link;
  return score;
}

}  // namespace etrlrec
