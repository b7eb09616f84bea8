#include "temporal/prompts.h"

#include <fmt/chrono.h>

#include "base/check.h"
#include "base/json.h"
#include "temporal/names.h"
#include "temporal/predicates.h"

namespace etrlrec {
namespace {

constexpr size_t kMaxTitleBytes = 96, kMaxLeadAttributes = 6, kMaxFurtherFields = 3;

// Bytes of the UTF-8 sequence at text[0], 0 when it is none.
size_t sequence_length(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  const size_t length = lead < 0x80   ? 1
                        : lead < 0xC2 ? 0
                        : lead < 0xE0 ? 2
                        : lead < 0xF0 ? 3
                        : lead < 0xF5 ? 4
                                      : 0;
  if (length == 0 || length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i)
    if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) return 0;
  return length;
}

char escape_byte(char c) {
  switch (c) {
    case '<':
    case '(':
      return '[';
    case '>':
    case ')':
      return ']';
    case ';':
      return ',';
    default:
      return static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? ' ' : c;
  }
}

// "; week" has been written; appends " drama comedy dark Title", for candidates " DRAMA 7 COMEDY 7
// dark Title".
void append_item(const Catalogue& catalogue, int32_t item, int32_t number, std::string& out) {
  const auto shown = shown_attributes(catalogue, item);
  const std::string suffix = number > 0 ? fmt::format(" {}", number) : "";
  const bool keyed = !shown.empty() && catalogue.attribute_fields[shown.front()] == 0;
  if (!keyed) out += fmt::format(" none{}", suffix);
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

std::string date_text(int64_t time) {
  const int32_t season = season_index(time);
  return fmt::format("{:%Y-%m-%d}, {}", fmt::gmtime(static_cast<std::time_t>(time)),
                     season_word(season));
}

std::string vocabulary_text() {
  std::string text;
  for (const Predicate& predicate : predicate_table()) {
    if (!text.empty()) text += " ";
    text += predicate.key();
  }
  return text;
}

}  // namespace

std::string escape_title(std::string_view title) {
  std::string out;
  while (!title.empty()) {
    const size_t length = sequence_length(title);
    if (out.size() + std::max<size_t>(length, 1) > kMaxTitleBytes) break;
    if (length <= 1) {
      const char c = length == 0 ? '?' : escape_byte(title[0]);
      if (c != ' ' || (!out.empty() && out.back() != ' ')) out += c;
    } else {
      out += title.substr(0, length);
    }
    title.remove_prefix(std::max<size_t>(length, 1));
  }
  while (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

std::vector<int32_t> shown_attributes(const Catalogue& catalogue, int32_t item) {
  std::vector<int32_t> shown;
  for (const int32_t a : catalogue.attributes_of(item))
    if (catalogue.attribute_fields[a] == 0 && shown.size() < kMaxLeadAttributes) shown.push_back(a);
  const size_t fields = std::min(catalogue.fields.size(), 1 + kMaxFurtherFields);
  for (size_t f = 1; f < fields; ++f) {
    const int32_t lead = lead_attribute(catalogue, item, static_cast<int32_t>(f));
    if (lead >= 0) shown.push_back(lead);
  }
  return shown;
}

std::string student_prompt(const Catalogue& catalogue, const Request& request,
                           const PromptOptions& options) {
  const size_t n = request.history.size();
  CHECK(n <= static_cast<size_t>(options.max_history), kInput,
        "prompt: expected at most {} history entries, found {}\nhint: make the request with this "
        "length",
        options.max_history, n);
  CHECK(request.times.size() == n, kInput,
        "prompt: expected {} times, one for each entry, found {}", n, request.times.size());
  const auto gap_before = [&](size_t j) {
    if (j == 0) return "start";
    const int64_t time = j == n ? request.now : request.times[j];
    return gap_word(gap_bucket(time - request.times[j - 1]));
  };
  std::string out = "History";
  for (size_t j = 0; j < n; ++j) {
    out += ";";
    if (options.with_times) out += std::string(" ") + gap_before(j);
    append_item(catalogue, request.history[j], 0, out);
  }
  out += "\nNow";
  if (options.with_times)
    out += std::string("; ") + gap_before(n) + " " + season_word(season_index(request.now));
  out += "\nCandidates";
  for (size_t k = 0; k < request.candidates.size(); ++k) {
    out += ";";
    append_item(catalogue, request.candidates[k], static_cast<int32_t>(k) + 1, out);
  }
  out += "\n";
  out += options.reasoning ? kReasoningOpen : kAnswerOpen;
  return out;
}

std::string answer_text(int32_t answer) { return fmt::format(" {}", answer); }

std::string completion_text(std::string_view reasoning, int32_t answer) {
  return std::string(reasoning) + std::string(kReasoningClose) + std::string(kAnswerOpen) +
         direct_completion_text(answer);
}

std::string direct_completion_text(int32_t answer) {
  return answer_text(answer) + std::string(kAnswerClose);
}

std::string teacher_prompt(const Catalogue& catalogue, const Request& request,
                           const FactSheet& facts, bool hint) {
  std::string out =
      "You advise a shop on what a customer will choose next. Below are the customer's history "
      "with dates, a numbered list of candidates, and facts that a program computed from the "
      "dates and from earlier customers.\n\nHistory, oldest first:\n";
  CHECK(request.times.size() == request.history.size(), kInput,
        "prompt: expected {} times, one for each entry, found {}", request.history.size(),
        request.times.size());
  for (size_t j = 0; j < request.history.size(); ++j) {
    out += fmt::format("{}. {}:", j + 1, date_text(request.times[j]));
    append_item(catalogue, request.history[j], 0, out);
    out += "\n";
  }
  out += fmt::format("Now: {}\n\nCandidates:\n", date_text(request.now));
  for (size_t k = 0; k < request.candidates.size(); ++k) {
    out += fmt::format("{}.", k + 1);
    append_item(catalogue, request.candidates[k], 0, out);
    out += "\n";
  }
  out += "\nFacts (JSON):\n" + to_json(facts, catalogue).dump() + "\n\n";
  out +=
      "Reason in three steps. First the order of events: stages, pauses, what led to what, what "
      "changed lately. Second the attributes: which gain, which fade, which tend to follow, and "
      "what the next item therefore needs. Third the person: lasting taste against the mood of "
      "the last entries, and how that fits season and pause. End each sentence with a claim that "
      "can be checked, in this vocabulary (entries and candidates by number, attributes by the "
      "names in the facts):\n" +
      vocabulary_text() + "\n";
  if (hint) {
    CHECK(request.target_slot >= 0 &&
              request.target_slot < static_cast<int32_t>(request.candidates.size()),
          kInput, "prompt: a hint needs a target slot below {}, found {}",
          request.candidates.size(), request.target_slot);
    out += fmt::format(
        "The customer did choose candidate {}. Find the reasons that the facts support, and do "
        "not mention that you were told.\n",
        request.target_slot + 1);
  }
  out += fmt::format(
      "Write exactly {} your reasoning {}{} the candidate's number {} and nothing "
      "else.\n",
      kReasoningOpen, kReasoningClose, kAnswerOpen, kAnswerClose);
  return out;
}

}  // namespace etrlrec
