#include "method/ranking_text.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/json.h"
#include "temporal/explanation.h"
#include "text/utf8.h"

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
  if (text.empty()) return "why:\n  nothing that can be checked was said\n";
  return "why, each statement checked against the data (✓ true, ✗ false, ? cannot be checked):\n" +
         text;
}

std::string percent_text(double percent) {
  return percent >= 0.95 ? fmt::format("{:.1f} %", percent) : fmt::format("{:.2g} %", percent);
}

std::string padded(const std::string& text, size_t width) {
  return text + std::string(width - std::min(width, code_points(text)), ' ');
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
  struct Line {
    std::string id, title, attributes, probability;
  };
  std::vector<Line> lines{{"id", "title", "", "probability"}};
  for (const auto& ranked : ranking.items) {
    const auto item = static_cast<size_t>(ranked.item);
    lines.push_back({catalogue.item_ids[item], catalogue.titles[item],
                     attributes_text(catalogue, ranked.item),
                     percent_text(100 * static_cast<double>(ranked.score))});
  }
  size_t id = 0, title = 0, attributes = 0;
  for (const Line& line : lines) {
    id = std::max(id, code_points(line.id));
    title = std::max(title, code_points(line.title));
    attributes = std::max(attributes, code_points(line.attributes));
  }
  std::string text;
  for (size_t i = 0; i < lines.size(); ++i) {
    const Line& line = lines[i];
    text += fmt::format("{:>2}  {}  {}  {}{}{}\n", i == 0 ? "" : fmt::format("{}", i),
                        padded(line.id, id), padded(line.title, title),
                        padded(line.attributes, attributes), attributes > 0 ? "  " : "",
                        line.probability);
  }
  if (form == ExplanationForm::kNone) return text;
  text += form == ExplanationForm::kRaw ? raw_reasoning(ranking) : reasoning_sentences(ranking);
  if (!ranking.valid)
    text += "note: the reasoning did not end within its budget and was closed by force\n";
  return text;
}

}  // namespace etrlrec
