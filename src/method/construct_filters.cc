#include "method/construct_filters.h"

#include <algorithm>
#include <span>

#include "base/json.h"
#include "base/strings.h"

namespace etrlrec {
namespace {

// Phrases that betray that the answer was known.
constexpr std::string_view kBetrayals[] = {"the hint",     "hinted",      "actual next",
                                           "ground truth", "true next",   "correct answer",
                                           "given answer", "target item", "revealed"};
// The same of those who were told in a notice.
constexpr std::string_view kToldBetrayals[] = {
    "the notice", "this notice",  "was told",     "were told",     "been told",
    "in truth",   "known choice", "known answer", "actual choice", "actually chose"};

bool any_in(const std::string& text, std::span<const std::string_view> phrases) {
  return std::any_of(phrases.begin(), phrases.end(), [&](std::string_view phrase) {
    return text.find(phrase) != std::string::npos;
  });
}

constexpr const char* kFilters[] = {"format", "betrayal", "wrong_answer", "precision", "repeated"};
constexpr const char* kFreeTextFilters[] = {"failed",     "cut",          "refused",   "format",
                                            "betrayal",   "wrong_answer", "precision", "length",
                                            "usefulness", "repeated"};

std::string mined_text(const MinedTotals& mined) {
  const auto readings = static_cast<double>(std::max<int64_t>(mined.readings, 1));
  const auto sentences = static_cast<double>(std::max<int64_t>(mined.sentences, 1));
  return fmt::format(
      "reasonings {}: {} sentences, {:.1f} % of them claims; claims true {}, false {}, "
      "unverifiable {}; mean precision {:.3f}, coverage {:.3f}\n",
      mined.readings, mined.sentences, 100 * static_cast<double>(mined.claim_sentences) / sentences,
      mined.verdicts[0], mined.verdicts[1], mined.verdicts[2], mined.precision / readings,
      mined.coverage / readings);
}

}  // namespace

PromptOptions prompt_options(const ConstructOptions& options) {
  return {.max_history = options.max_history,
          .with_times = options.with_times,
          .style = options.style,
          .answer = options.answer,
          .knowledge = options.knowledge,
          .knowledge_items = options.knowledge_items,
          .list_candidates = options.list_candidates,
          .with_attributes = options.with_attributes};
}

std::string completion_of(const TeacherReply& reply, const std::vector<std::string>& answers,
                          const PromptOptions& prompt) {
  return completion_text(reply.reasoning, answers.at(static_cast<size_t>(reply.answer) - 1),
                         prompt);
}

bool betrays(std::string_view reasoning, bool free_text) {
  const std::string text = ascii_lower(reasoning);
  return any_in(text, kBetrayals) || (free_text && any_in(text, kToldBetrayals));
}

OrderedJson to_json(const ConstructSummary& summary) {
  OrderedJson rejected = OrderedJson::object();
  for (const auto& [name, count] : summary.rejected) rejected[name] = count;
  OrderedJson json = {
      {"schema_version", 1},    {"rows", summary.rows}, {"rows_kept", summary.rows_kept},
      {"draws", summary.draws}, {"kept", summary.kept}, {"hinted", summary.hinted},
      {"rejected", rejected}};
  if (!summary.mined) return json;
  const MinedTotals& mined = *summary.mined;
  const auto readings = static_cast<double>(std::max<int64_t>(mined.readings, 1));
  json["mined"] = {{"readings", mined.readings},
                   {"sentences", mined.sentences},
                   {"claim_sentences", mined.claim_sentences},
                   {"true", mined.verdicts[0]},
                   {"false", mined.verdicts[1]},
                   {"unverifiable", mined.verdicts[2]},
                   {"precision", mined.precision / readings},
                   {"coverage", mined.coverage / readings}};
  return json;
}

std::string format_summary(const ConstructSummary& summary) {
  const auto share = [](int64_t part, int64_t whole) {
    return whole == 0 ? 0.0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
  };
  std::string text =
      fmt::format("rows {}, with reasoning {} ({:.1f} %), of these hinted draws {}\n", summary.rows,
                  summary.rows_kept, share(summary.rows_kept, summary.rows), summary.hinted);
  int64_t left = summary.draws;
  text += fmt::format("draws {}\n", left);
  const std::span<const char* const> filters = summary.mined
                                                   ? std::span<const char* const>(kFreeTextFilters)
                                                   : std::span<const char* const>(kFilters);
  for (const char* filter : filters) {
    const auto found = summary.rejected.find(filter);
    const int64_t refused = found == summary.rejected.end() ? 0 : found->second;
    text += fmt::format("  {:<13} passed {:5.1f} % ({} of {})\n", filter,
                        share(left - refused, left), left - refused, left);
    left -= refused;
  }
  return summary.mined ? text + mined_text(*summary.mined) : text;
}

}  // namespace etrlrec
