#include "method/ranking_text.h"

#include <fmt/format.h>

#include "base/json.h"
#include "temporal/explanation.h"

namespace etrlrec {
namespace {

std::string claim_text(const Ranking& ranking, const ExplainedClaim& claim) {
  return ranking.reasoning.substr(claim.begin, claim.end - claim.begin);
}

std::string attributes_text(const Catalogue& catalogue, int32_t item) {
  std::string text;
  for (const int32_t attribute : catalogue.attributes_of(item))
    text += (text.empty() ? "" : " ") + catalogue.attributes[static_cast<size_t>(attribute)];
  return text;
}

std::string raw_reasoning(const Ranking& ranking) {
  std::string text = fmt::format("why: {}\n", ranking.reasoning);
  for (const ExplainedClaim& claim : ranking.explanation.claims)
    text += fmt::format("  {} {:<40} {}\n", verdict_mark(claim.verdict), claim_text(ranking, claim),
                        verdict_name(claim.verdict));
  return text;
}

std::string reasoning_sentences(const Ranking& ranking) {
  const std::string text = explanation_text(ranking.explanation);
  return "why:\n" + (text.empty() ? "  nothing that can be checked was said\n" : text);
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
  document["explanation"] = to_json(ranking.explanation, ranking.reasoning);
  document["explanation"]["reasoning"] = ranking.reasoning;
  document["explanation"]["valid"] = ranking.valid;
  return document;
}

std::string format_ranking(const Ranking& ranking, const Catalogue& catalogue,
                           ExplanationForm form) {
  std::string text;
  for (size_t i = 0; i < ranking.items.size(); ++i) {
    const auto item = static_cast<size_t>(ranking.items[i].item);
    text += fmt::format("{:>2}  {:<12} {:<40} {:<28} {:.3f}\n", i + 1, catalogue.item_ids[item],
                        catalogue.titles[item], attributes_text(catalogue, ranking.items[i].item),
                        ranking.items[i].score);
  }
  if (form == ExplanationForm::kNone) return text;
  text += form == ExplanationForm::kRaw ? raw_reasoning(ranking) : reasoning_sentences(ranking);
  if (!ranking.valid)
    text += "note: the reasoning did not end within its budget and was closed by force\n";
  return text;
}

}  // namespace etrlrec
