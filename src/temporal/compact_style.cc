#include "temporal/compact_style.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/strings.h"
#include "temporal/answer_tags.h"
#include "temporal/gaps.h"
#include "temporal/names.h"
#include "temporal/prompt_lists.h"

namespace etrlrec {
namespace {

constexpr size_t kMaxLeadAttributes = 6, kMaxFurtherFields = 3;
constexpr int64_t kMaxWordAttributes = 256;

// Attributes in front of a title: up to six of the first field, then the first of each of up to
// three further fields.
std::vector<int32_t> shown_attributes(const Catalogue& catalogue, int32_t item,
                                      const PromptOptions& options) {
  std::vector<int32_t> shown;
  if (!options.with_attributes) return shown;
  for (const int32_t a : catalogue.attributes_of(item))
    if (catalogue.attribute_fields[a] == 0 && shown.size() < kMaxLeadAttributes) shown.push_back(a);
  const size_t fields = std::min(catalogue.fields.size(), 1 + kMaxFurtherFields);
  for (size_t f = 1; f < fields; ++f) {
    const int32_t lead = lead_attribute(catalogue, item, static_cast<int32_t>(f));
    if (lead >= 0) shown.push_back(lead);
  }
  return shown;
}

// "; week" has been written; appends " drama comedy dark Title", for candidates " DRAMA 7 COMEDY 7
// dark Title", without attributes " 7 Title".
void append_item(const Catalogue& catalogue, int32_t item, int32_t number,
                 const PromptOptions& options, std::string& out) {
  const auto shown = shown_attributes(catalogue, item, options);
  const std::string suffix = number > 0 ? fmt::format(" {}", number) : "";
  const bool keyed = !shown.empty() && catalogue.attribute_fields[shown.front()] == 0;
  if (!keyed) out += (options.with_attributes ? " none" : "") + suffix;
  for (const int32_t a : shown) {
    const bool key = number > 0 && catalogue.attribute_fields[a] == 0;
    out += " " + (key ? key_word(catalogue, a) : attribute_word(catalogue, a));
    if (catalogue.attribute_fields[a] == 0) out += suffix;
  }
  const std::string title = escape_title(catalogue.titles[item]);
  // A title that begins with a digit would read as one more number.
  const bool digit = !title.empty() && title.front() >= '0' && title.front() <= '9';
  if (!title.empty()) out += fmt::format("{} {}", digit ? ":" : "", title);
}

std::string recommender_head(std::string_view name) { return ascii_capitalized(name); }
constexpr ListHeads kHeads{"Candidates", "Lately", "After", "New", "Pattern", recommender_head};

std::string compact_list_line(std::string_view head, std::span<const std::string> names) {
  std::string line = fmt::format("\n{}", head);
  for (const std::string& name : names) line += fmt::format("; {}", name);
  return line + ";";
}

// A line for each list, best first: "; 7" is a candidate, "; Heat" a title.
void append_lists(const Catalogue& catalogue, const Request& request, const PromptOptions& options,
                  std::string& out) {
  const auto title = [&](int32_t item) {
    return escape_title(catalogue.titles[static_cast<size_t>(item)]);
  };
  for (const PromptList& list : prompt_lists(catalogue, request, options, kHeads, title)) {
    out += compact_list_line(list.head, list.names);
    if (options.answer == AnswerKind::kNumber) out.pop_back();
  }
}

std::string number_prompt(const Catalogue& catalogue, const Request& request,
                          const PromptOptions& options) {
  const size_t n = request.history.size();
  const auto gap_before = [&](size_t j) {
    if (j == 0) return "start";
    const int64_t time = j == n ? request.now : request.times[j];
    return gap_word(gap_bucket(time - request.times[j - 1]));
  };
  std::string out = "History";
  for (size_t j = 0; j < n; ++j) {
    out += ";";
    if (options.with_times) out += std::string(" ") + gap_before(j);
    append_item(catalogue, request.history[j], 0, options, out);
  }
  out += "\nNow";
  if (options.with_times)
    out += std::string("; ") + gap_before(n) + " " + season_word(season_index(request.now));
  out += "\nCandidates";
  for (size_t k = 0; k < request.candidates.size(); ++k) {
    out += ";";
    append_item(catalogue, request.candidates[k], static_cast<int32_t>(k) + 1, options, out);
  }
  append_lists(catalogue, request, options, out);
  out += "\n";
  out += options.reasoning ? kReasoningOpen : kAnswerOpen;
  return out;
}

// --- Answers by title: the prompt is a time line, "History; start autumn Heat; crime week Alien;
// horror month", and the answer goes on with it, " Fargo;". The attributes of an item follow its
// title: they are read with the history and need not be predicted (docs/experiments.md).

constexpr std::string_view kTimeLineHead = "History;";

// " week", and " summer" after it where the quarter of the year is another one than at the entry
// before.
void append_moment(std::optional<int64_t> before, int64_t now, std::string& out) {
  out += fmt::format(" {}", before ? gap_word(gap_bucket(now - *before)) : "start");
  if (!before || season_index(*before) != season_index(now))
    out += fmt::format(" {}", season_word(season_index(now)));
}

std::string title_answer(const Catalogue& catalogue, int32_t item) {
  return " " + escape_title(catalogue.titles[static_cast<size_t>(item)]) + ";";
}

// " Hollow River; drama".
void append_entry(const Catalogue& catalogue, int32_t item, const PromptOptions& options,
                  std::string& out) {
  out += title_answer(catalogue, item);
  for (const int32_t a : shown_attributes(catalogue, item, options))
    out += " " + attribute_word(catalogue, a);
}

TimeLine compact_time_line(const Catalogue& catalogue, std::span<const int32_t> items,
                           std::span<const int64_t> times, const PromptOptions& options) {
  TimeLine line;
  line.text = kTimeLineHead;
  for (size_t j = 0; j < items.size(); ++j) {
    if (options.with_times)
      append_moment(j == 0 ? std::nullopt : std::optional(times[j - 1]), times[j], line.text);
    const size_t begin = line.text.size();
    line.titles.push_back({begin, begin + title_answer(catalogue, items[j]).size()});
    append_entry(catalogue, items[j], options, line.text);
  }
  return line;
}

std::string title_prompt(const Catalogue& catalogue, const Request& request,
                         const PromptOptions& options) {
  std::string out = compact_time_line(catalogue, request.history, request.times, options).text;
  append_lists(catalogue, request, options, out);
  if (options.with_times) append_moment(last_time(request), request.now, out);
  if (options.reasoning) out += kReasoningOpen;
  return out;
}

std::string compact_prompt(const Catalogue& catalogue, const Request& request,
                           const PromptOptions& options) {
  return options.answer == AnswerKind::kTitle ? title_prompt(catalogue, request, options)
                                              : number_prompt(catalogue, request, options);
}

AnswerForm compact_answer_form(const PromptOptions& options) {
  if (options.answer == AnswerKind::kTitle)
    return options.reasoning ? AnswerForm{{kReasoningClose}, {}} : AnswerForm{};
  if (!options.reasoning) return {{}, kAnswerClose};
  return {{kReasoningClose, kAnswerOpen}, kAnswerClose};
}

// " Hollow River; drama week winter": the last entry and the moment once more, where a reasoning
// stands between them and the title.
std::string compact_answer_lead(const Catalogue& catalogue, const Request& request,
                                const PromptOptions& options) {
  std::string lead;
  if (!request.history.empty()) append_entry(catalogue, request.history.back(), options, lead);
  if (options.with_times) append_moment(last_time(request), request.now, lead);
  return lead;
}

std::string compact_number(int32_t answer) { return fmt::format(" {}", answer); }

ParsedCompletion compact_parse(std::string_view text, std::span<const std::string> answers,
                               const PromptOptions& options) {
  return options.answer == AnswerKind::kTitle
             ? parse_title_answer(text, answers, options.reasoning)
             : parse_tagged_answer(text, static_cast<int32_t>(answers.size()), options.reasoning);
}

std::vector<std::string> compact_words(const Catalogue& catalogue, int64_t numbers) {
  std::vector<std::string> words;
  for (int64_t n = 1; n <= numbers; ++n) words.push_back(fmt::format(" {}", n));
  for (int32_t gap = 0; gap < kNumGapBuckets; ++gap)
    words.push_back(fmt::format(" {}", gap_word(static_cast<GapBucket>(gap))));
  for (int32_t season = 0; season < 4; ++season)
    words.push_back(fmt::format(" {}", season_word(season)));
  const auto attributes =
      std::min<int64_t>(static_cast<int64_t>(catalogue.attributes.size()), kMaxWordAttributes);
  for (int32_t a = 0; a < attributes; ++a) {
    words.push_back(" " + attribute_word(catalogue, a));
    words.push_back(" " + key_word(catalogue, a));
  }
  return words;
}

std::string compact_reasoning(std::span<const Statement> statements, const ClaimContext&, Rng&) {
  std::string text;
  for (const Statement& statement : statements) {
    text += " " + statement.claim.predicate;
    if (statement.is_decision) continue;
    text += "(";
    for (const std::string& argument : statement.claim.arguments) text += " " + argument;
    text += ")";
  }
  return text;
}

// Each claim is a sentence, and so is each word between claims.
ReasoningReading compact_read(std::string_view reasoning, const ClaimContext&) {
  ReasoningReading reading{parse_claims(reasoning), 0, 0};
  reading.claim_sentences = reading.sentences = std::ssize(reading.claims);
  reasoning = reasoning.substr(0, kMaxReasoningBytes);
  size_t begin = 0;
  const auto count_words = [&](size_t end) {
    for (size_t p = begin; p < end; ++p)
      reading.sentences += reasoning[p] != ' ' && (p + 1 == end || reasoning[p + 1] == ' ');
  };
  for (const Claim& claim : reading.claims) {
    count_words(claim.begin);
    begin = claim.end;
  }
  count_words(reasoning.size());
  return reading;
}

// The first word outside of the claims that is a decision's.
const Decision* compact_decision(std::string_view reasoning) {
  reasoning = reasoning.substr(0, kMaxReasoningBytes);
  size_t begin = 0;
  int32_t depth = 0;
  for (size_t p = 0; p <= reasoning.size(); ++p) {
    const char c = p == reasoning.size() ? ' ' : reasoning[p];
    if (c != ' ' && c != '(' && c != ')') continue;
    const std::string_view word = reasoning.substr(begin, p - begin);
    for (const Decision& decision : decisions())
      if (depth == 0 && c != '(' && decision.word == word) return &decision;
    depth = std::max(0, depth + (c == '(') - (c == ')'));
    begin = p + 1;
  }
  return nullptr;
}

// "Sasrec; mask; Silent Bridge;"
constexpr MaskedForm kCompactMasked{.entry = " mask;",
                                    .name = "mask",
                                    .question = "\nMask;",
                                    .candidates = kHeads.candidates,
                                    .recommender = kHeads.recommender};

}  // namespace

PromptStyle compact_style() {
  return {.name = "compact",
          .system = {},
          .prompt = compact_prompt,
          .time_line = compact_time_line,
          .list_line = compact_list_line,
          .masked = kCompactMasked,
          .answer_form = compact_answer_form,
          .number = compact_number,
          .answer_lead = compact_answer_lead,
          .parse = compact_parse,
          .words = compact_words,
          .title = title_answer,
          .reasoning = compact_reasoning,
          .read = compact_read,
          .decision = compact_decision};
}

}  // namespace etrlrec
