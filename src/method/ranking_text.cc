#include "method/ranking_text.h"

#include <fmt/format.h>

#include "base/json.h"
#include "temporal/verifier.h"

namespace etrlrec {
namespace {

std::string claim_text(const Ranking& ranking, const Claim& claim) {
  return ranking.reasoning.substr(claim.begin, claim.end - claim.begin);
}

const char* mark_of(Verdict verdict) {
  if (verdict == Verdict::kTrue) return "✓";
  return verdict == Verdict::kFalse ? "✗" : "?";
}

std::string attributes_text(const Catalogue& catalogue, int32_t item) {
  std::string text;
  for (const int32_t attribute : catalogue.attributes_of(item))
    text += (text.empty() ? "" : " ") + catalogue.attributes[static_cast<size_t>(attribute)];
  return text;
}

std::string format_reasoning(const Ranking& ranking) {
  std::string text = fmt::format("why: {}\n", ranking.reasoning);
  for (const JudgedClaim& claim : ranking.claims)
    text += fmt::format("  {} {:<40} {}\n", mark_of(claim.verdict),
                        claim_text(ranking, claim.claim), verdict_name(claim.verdict));
  if (!ranking.valid)
    text += "note: the reasoning did not end within its budget and was closed by force\n";
  return text;
}

}  // namespace

OrderedJson to_json(const Ranking& ranking, const Catalogue& catalogue) {
  OrderedJson document = {{"schema_version", 1}, {"items", OrderedJson::array()}};
  for (size_t i = 0; i < ranking.items.size(); ++i) {
    const auto item = static_cast<size_t>(ranking.items[i].item);
    document["items"].push_back({{"item_id", catalogue.item_ids[item]},
                                 {"title", catalogue.titles[item]},
                                 {"score", ranking.items[i].score},
                                 {"rank", i + 1}});
  }
  OrderedJson claims = OrderedJson::array();
  for (const JudgedClaim& claim : ranking.claims)
    claims.push_back(
        {{"claim", claim_text(ranking, claim.claim)}, {"verdict", verdict_name(claim.verdict)}});
  document["explanation"] = {
      {"reasoning", ranking.reasoning}, {"claims", claims}, {"valid", ranking.valid}};
  return document;
}

std::string format_ranking(const Ranking& ranking, const Catalogue& catalogue, bool explain) {
  std::string text;
  for (size_t i = 0; i < ranking.items.size(); ++i) {
    const auto item = static_cast<size_t>(ranking.items[i].item);
    text += fmt::format("{:>2}  {:<12} {:<40} {:<28} {:.3f}\n", i + 1, catalogue.item_ids[item],
                        catalogue.titles[item], attributes_text(catalogue, ranking.items[i].item),
                        ranking.items[i].score);
  }
  return explain ? text + format_reasoning(ranking) : text;
}

}  // namespace etrlrec
