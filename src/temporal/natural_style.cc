#include "temporal/natural_style.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>
#include <unordered_set>

#include "base/check.h"
#include "base/strings.h"
#include "temporal/answer_tags.h"
#include "temporal/gaps.h"
#include "temporal/names.h"
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
constexpr std::string_view kBlankBytes = " \n\t\r";
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

std::string entry_moment(std::span<const int64_t> times, size_t j, const PromptOptions& options) {
  if (!options.with_times) return j == 0 ? "First:" : "Then:";
  return moment_text(j == 0 ? std::nullopt : std::optional(times[j - 1]), times[j]);
}

// Of the request itself.
std::string moment_line(const Request& request, const PromptOptions& options) {
  const bool first = request.times.empty();
  if (!options.with_times) return first ? "First:" : "Then:";
  return moment_text(first ? std::nullopt : std::optional(request.times.back()), request.now);
}

TimeLine natural_time_line(const Catalogue& catalogue, std::span<const int32_t> items,
                           std::span<const int64_t> times, const PromptOptions& options) {
  TimeLine line;
  line.text = kHead;
  for (size_t j = 0; j < items.size(); ++j) {
    line.text += entry_moment(times, j, options);
    const size_t begin = line.text.size();
    line.text += natural_title(catalogue, items[j]);
    line.titles.push_back({begin, line.text.size()});
    line.text += attribute_list(catalogue, items[j]) + "\n";
  }
  return line;
}

void append_titles(std::string_view head, const Catalogue& catalogue, const Request& request,
                   std::span<const int32_t> items, AnswerKind answer, std::string& out) {
  std::vector<std::string> texts;
  for (const int32_t item : items) {
    if (answer == AnswerKind::kTitle) {
      texts.push_back(title_text(catalogue, item));
      continue;
    }
    const auto& all = request.candidates;
    const auto found = std::find(all.begin(), all.end(), item);
    CHECK(found != all.end(), kInput,
          "prompt: expected candidates after \"{}\", found item {} that is none", head,
          catalogue.item_ids[static_cast<size_t>(item)]);
    texts.push_back(fmt::format("{}", found - all.begin() + 1));
  }
  out += fmt::format("{} {};\n", head,
                     texts.empty() ? "nothing" : fmt::format("{}", fmt::join(texts, "; ")));
}

void append_knowledge(const Catalogue& catalogue, const Request& request,
                      const PromptOptions& options, std::string& out) {
  const auto append = [&](std::string_view head, std::span<const int32_t> items) {
    append_titles(head, catalogue, request, items, options.answer, out);
  };
  if (knows_time(options.knowledge)) {
    append("Most people now choose:", request.known.lately);
    append("Others went on with:", request.known.after);
    append("New in the catalogue:", request.known.fresh);
  }
  if (!knows_pattern(options.knowledge)) return;
  CHECK(!request.known.pattern.empty(), kInput,
        "prompt: expected what the recommender says about the request, found nothing\n"
        "hint: --recommender FOLDER");
  append("The recommender's list:", request.known.pattern);
}

void append_candidates(const Catalogue& catalogue, const Request& request,
                       const PromptOptions& options, std::string& out) {
  if (options.answer == AnswerKind::kTitle) {
    CHECK(!request.candidates.empty(), kInput,
          "prompt: expected candidates to list, found none\n"
          "hint: a model whose prompts list candidates chooses among given ones only");
    return append_titles("To choose from:", catalogue, request, request.candidates, options.answer,
                         out);
  }
  out += "To choose from:\n";
  for (size_t k = 0; k < request.candidates.size(); ++k)
    out += fmt::format("{}:{}{}\n", k + 1, natural_title(catalogue, request.candidates[k]),
                       attribute_list(catalogue, request.candidates[k]));
}

std::string natural_prompt(const Catalogue& catalogue, const Request& request,
                           const PromptOptions& options) {
  const size_t n = request.history.size();
  CHECK(n <= static_cast<size_t>(options.max_history), kInput,
        "prompt: expected at most {} history entries, found {}\nhint: make the request with this "
        "length",
        options.max_history, n);
  CHECK(request.times.size() == n, kInput,
        "prompt: expected {} times, one for each entry, found {}", n, request.times.size());
  std::string out = natural_time_line(catalogue, request.history, request.times, options).text;
  if (options.answer == AnswerKind::kNumber || options.list_candidates)
    append_candidates(catalogue, request, options, out);
  append_knowledge(catalogue, request, options, out);
  out += moment_line(request, options);
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
  if (options.answer == AnswerKind::kNumber || !options.reasoning) return {};
  std::string lead;
  if (!request.history.empty())
    lead = natural_title(catalogue, request.history.back()) +
           attribute_list(catalogue, request.history.back());
  return lead + "\n" + moment_line(request, options);
}

std::string natural_number(int32_t answer) { return fmt::format(" {}", answer); }

// Equal titles are told apart by a number, in the order of the candidates.
std::vector<std::string> natural_answers(const Catalogue& catalogue, const Request& request,
                                         const PromptOptions& options) {
  const std::string lead = natural_answer_lead(catalogue, request, options);
  std::vector<std::string> texts;
  std::unordered_set<std::string> seen;
  for (size_t k = 0; k < request.candidates.size(); ++k) {
    if (options.answer == AnswerKind::kNumber) {
      texts.push_back(natural_number(static_cast<int32_t>(k) + 1));
      continue;
    }
    const std::string title = natural_title(catalogue, request.candidates[k]);
    std::string text = title;
    for (int32_t copy = 2; !seen.insert(text).second; ++copy)
      text = fmt::format("{} #{};", std::string_view(title).substr(0, title.size() - 1), copy);
    texts.push_back(lead + text);
  }
  return texts;
}

bool is_blank_text(std::string_view text) {
  return text.find_first_not_of(kBlankBytes) == std::string_view::npos;
}

// " 7." and nothing behind it.
void parse_number_answer(std::string_view text, int32_t candidates, ParsedCompletion& parsed) {
  const size_t end = text.find(kNumberEnd);
  if (end == std::string_view::npos) {
    parsed.code = AnswerCode::kNoAnswer;
    return;
  }
  if (!is_blank_text(text.substr(end + kNumberEnd.size()))) {
    parsed.code = AnswerCode::kTrailingText;
    return;
  }
  const std::string_view number = trim(text.substr(0, end), kBlankBytes);
  int32_t value = 0;
  const auto [stop, error] = std::from_chars(number.data(), number.data() + number.size(), value);
  const bool canonical = number == "0" || (!number.empty() && number[0] != '0');
  if (number.empty() || stop != number.data() + number.size() || !canonical ||
      error == std::errc::invalid_argument) {
    parsed.code = AnswerCode::kNotAnInteger;
    return;
  }
  if (error == std::errc::result_out_of_range)
    value = number[0] == '-' ? std::numeric_limits<int32_t>::min()
                             : std::numeric_limits<int32_t>::max();
  parsed.answer = value;
  parsed.code = value >= 1 && value <= candidates ? AnswerCode::kValid : AnswerCode::kOutOfRange;
}

void parse_title(std::string_view text, std::span<const std::string> answers,
                 ParsedCompletion& parsed) {
  const size_t end = title_end(text, answers);
  parsed.code = end == std::string_view::npos          ? AnswerCode::kNoAnswer
                : !is_blank_text(text.substr(end + 1)) ? AnswerCode::kTrailingText
                                                       : AnswerCode::kNoCandidate;
  if (parsed.code != AnswerCode::kNoCandidate) return;
  const std::string_view title = trim(text.substr(0, end + 1), kBlankBytes);
  for (size_t k = 0; k < answers.size(); ++k) {
    if (trim(answers[k], kBlankBytes) != title) continue;
    parsed.code = AnswerCode::kValid;
    parsed.answer = static_cast<int32_t>(k) + 1;
    return;
  }
}

ParsedCompletion natural_parse(std::string_view text, std::span<const std::string> answers,
                               const PromptOptions& options) {
  ParsedCompletion parsed;
  std::string_view rest = text;
  if (options.reasoning) {
    const size_t close = text.find(kSo);
    parsed.code = AnswerCode::kNoReasoning;
    if (close == std::string_view::npos || is_blank_text(text.substr(0, close))) return parsed;
    parsed.reasoning = text.substr(0, close);
    rest = text.substr(close + kSo.size());
  }
  if (rest.find(kSo) != std::string_view::npos)
    parsed.code = AnswerCode::kRepeatedTag;
  else if (options.answer == AnswerKind::kTitle)
    parse_title(rest, answers, parsed);
  else
    parse_number_answer(rest, static_cast<int32_t>(answers.size()), parsed);
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

std::vector<Claim> natural_claims(std::string_view reasoning, const ClaimContext& context) {
  return read_sentences(reasoning, context).claims;
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

}  // namespace

PromptStyle natural_style() {
  return {.name = "natural",
          .system = kSystem,
          .prompt = natural_prompt,
          .time_line = natural_time_line,
          .answer_form = natural_answer_form,
          .number = natural_number,
          .answer_lead = natural_answer_lead,
          .answers = natural_answers,
          .parse = natural_parse,
          .words = natural_words,
          .title = natural_title,
          .reasoning = natural_reasoning,
          .claims = natural_claims,
          .decision = natural_decision};
}

}  // namespace etrlrec
