#include "temporal/natural_style.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>

#include "base/strings.h"
#include "temporal/answer_tags.h"
#include "temporal/gaps.h"
#include "temporal/names.h"
#include "temporal/prompt_lists.h"
#include "temporal/sentence_forms.h"
#include "temporal/sentence_tokens.h"
#include "temporal/sentences.h"

namespace etrlrec {
namespace {

constexpr std::string_view kSystem =
    "The user lists what one person chose, in order, with the time in between. Say what this "
    "person "
    "chooses next.";
constexpr std::string_view kHead = "Chosen so far:\n";
constexpr std::string_view kReasons = "\nReasons:";  // ends a prompt that asks for a reasoning
constexpr std::string_view kSo = "\nSo:";            // ends the reasoning
constexpr std::string_view kNumberEnd = ".";
constexpr size_t kMostAttributes = 6;
constexpr int64_t kMostWordAttributes = 256;

std::string title_text(const Catalogue& catalogue, int32_t item) {
  return plain_title(catalogue.titles[static_cast<size_t>(item)]);
}
std::string natural_title(const Catalogue& catalogue, int32_t item) {
  return " " + title_text(catalogue, item) + ";";
}

// " animation, comedy": the first attributes of the item.
std::string attribute_list(const Catalogue& catalogue, int32_t item) {
  std::string text;
  size_t count = 0;
  for (const int32_t a : catalogue.attributes_of(item)) {
    if (count++ == kMostAttributes) break;
    text += fmt::format("{} {}", text.empty() ? "" : ",", attribute_word(catalogue, a));
  }
  return text;
}

// "In winter:", "Days later:", "Weeks later, in spring:"; the quarter where it is another one.
std::string moment_text(std::optional<int64_t> before, int64_t now) {
  const int32_t season = season_index(now);
  if (!before) return fmt::format("In {}:", season_word(season));
  const GapBucket gap = gap_bucket(now - *before);
  std::string text =
      gap == GapBucket::kTie ? "At once" : ascii_capitalized(bucket_text(gap)) + " later";
  if (season_index(*before) != season) text += fmt::format(", in {}", season_word(season));
  return text + ":";
}

std::string moment_line(std::optional<int64_t> before, int64_t now, const PromptOptions& options) {
  if (!options.with_times) return before ? "Then:" : "First:";
  return moment_text(before, now);
}

// " Paper Crown; crime"
std::string entry_text(const Catalogue& catalogue, int32_t item, const PromptOptions& options) {
  return natural_title(catalogue, item) +
         (options.with_attributes ? attribute_list(catalogue, item) : "");
}

TimeLine natural_time_line(const Catalogue& catalogue, std::span<const int32_t> items,
                           std::span<const int64_t> times, const PromptOptions& options) {
  TimeLine line;
  line.text = kHead;
  for (size_t j = 0; j < items.size(); ++j) {
    line.text +=
        moment_line(j == 0 ? std::nullopt : std::optional(times[j - 1]), times[j], options);
    const size_t begin = line.text.size();
    line.titles.push_back({begin, begin + natural_title(catalogue, items[j]).size()});
    line.text += entry_text(catalogue, items[j], options) + "\n";
  }
  return line;
}

std::string named_recommender(std::string_view name) {
  return fmt::format("The recommender {} puts first, from the best on:", name);
}
constexpr ListHeads kHeads{
    "To choose from:",       "Most people now choose:", "Others went on with:",
    "New in the catalogue:", "The recommender's list:", named_recommender};

std::string natural_list_line(std::string_view head, std::span<const std::string> names) {
  return fmt::format("{} {};\n", head,
                     names.empty() ? "nothing" : fmt::format("{}", fmt::join(names, "; ")));
}

void append_lists(const Catalogue& catalogue, const Request& request, const PromptOptions& options,
                  std::string& out) {
  const auto title = [&](int32_t item) { return title_text(catalogue, item); };
  for (const PromptList& list : prompt_lists(catalogue, request, options, kHeads, title))
    out += natural_list_line(list.head, list.names);
}

std::string natural_prompt(const Catalogue& catalogue, const Request& request,
                           const PromptOptions& options) {
  std::string out = natural_time_line(catalogue, request.history, request.times, options).text;
  if (options.answer == AnswerKind::kNumber) {
    out += fmt::format("{}\n", kHeads.candidates);
    for (size_t k = 0; k < request.candidates.size(); ++k)
      out += fmt::format("{}:{}\n", k + 1, entry_text(catalogue, request.candidates[k], options));
  }
  append_lists(catalogue, request, options, out);
  out += moment_line(last_time(request), request.now, options);
  if (options.reasoning) out += kReasons;
  return out;
}

AnswerForm natural_answer_form(const PromptOptions& options) {
  AnswerForm form;
  if (options.reasoning) form.close = {kSo};
  if (options.answer == AnswerKind::kNumber) form.finish = kNumberEnd;
  return form;
}

// The last entry and the line of the title, as in a time line.
std::string natural_answer_lead(const Catalogue& catalogue, const Request& request,
                                const PromptOptions& options) {
  const std::string last =
      request.history.empty() ? "" : entry_text(catalogue, request.history.back(), options);
  return last + "\n" + moment_line(last_time(request), request.now, options);
}

std::string natural_number(int32_t answer) { return fmt::format(" {}", answer); }

ParsedCompletion natural_parse(std::string_view text, std::span<const std::string> answers,
                               const PromptOptions& options) {
  ParsedCompletion parsed;
  std::string_view rest = text;
  if (options.reasoning) {
    const size_t close = text.find(kSo);
    parsed.code = AnswerCode::kNoReasoning;
    if (close == std::string_view::npos || all_blank(text.substr(0, close))) return parsed;
    parsed.reasoning = text.substr(0, close);
    rest = text.substr(close + kSo.size());
  }
  const size_t end = rest.find(kNumberEnd);
  if (rest.find(kSo) != std::string_view::npos)
    parsed.code = AnswerCode::kRepeatedTag;
  else if (options.answer == AnswerKind::kTitle)
    read_title(rest, answers, parsed);
  else if (end == std::string_view::npos)
    parsed.code = AnswerCode::kNoAnswer;
  else if (!all_blank(rest.substr(end + kNumberEnd.size())))
    parsed.code = AnswerCode::kTrailingText;
  else
    parsed.code =
        read_number(rest.substr(0, end), static_cast<int32_t>(answers.size()), parsed.answer);
  return parsed;
}

std::vector<std::string> natural_words(const Catalogue& catalogue, int64_t numbers) {
  std::vector<std::string> words;
  for (int64_t n = 1; n <= numbers; ++n) words.push_back(fmt::format(" {}", n));
  for (int32_t gap = 0; gap < kNumGapBuckets; ++gap)
    words.push_back(ascii_capitalized(bucket_text(static_cast<GapBucket>(gap))));
  words.emplace_back(" later");
  for (int32_t season = 0; season < 4; ++season)
    words.push_back(fmt::format(" {}", season_word(season)));
  const auto attributes =
      std::min<int64_t>(static_cast<int64_t>(catalogue.attributes.size()), kMostWordAttributes);
  for (int32_t a = 0; a < attributes; ++a) words.push_back(" " + attribute_word(catalogue, a));
  return words;
}

std::string natural_reasoning(std::span<const Statement> statements, const ClaimContext& context,
                              Rng& rng) {
  std::string text;
  for (const Statement& statement : statements) {
    const std::string sentence = statement.is_decision
                                     ? std::string(decision_sentence(statement.claim.predicate))
                                     : varied_sentence(statement.claim, context, rng);
    if (!sentence.empty()) text += fmt::format(" {}.", sentence);
  }
  return text;
}

// The first sentence that names what decides.
const Decision* natural_decision(std::string_view reasoning) {
  const std::string text = ascii_lower(reasoning.substr(0, kMaxReasoningBytes));
  const Decision* first = nullptr;
  size_t at = std::string::npos;
  for (const Decision& decision : decisions()) {
    const size_t found = text.find(ascii_lower(decision.sentence));
    if (found < at) at = found, first = &decision;
  }
  return first;
}

constexpr MaskedForm kNaturalMasked{.entry = " [not shown];\n",
                                    .name = "[not shown]",
                                    .question = "The one not shown:",
                                    .candidates = kHeads.candidates,
                                    .recommender = kHeads.recommender};

}  // namespace

PromptStyle natural_style() {
  return {.name = "natural",
          .system = kSystem,
          .prompt = natural_prompt,
          .time_line = natural_time_line,
          .list_line = natural_list_line,
          .masked = kNaturalMasked,
          .answer_form = natural_answer_form,
          .number = natural_number,
          .answer_lead = natural_answer_lead,
          .parse = natural_parse,
          .words = natural_words,
          .title = natural_title,
          .reasoning = natural_reasoning,
          .read = read_sentences,
          .decision = natural_decision};
}

}  // namespace etrlrec
