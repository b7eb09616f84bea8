#include "temporal/compact_style.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "temporal/answer_tags.h"
#include "temporal/gaps.h"
#include "temporal/names.h"

namespace etrlrec {
namespace {

constexpr size_t kMaxLeadAttributes = 6, kMaxFurtherFields = 3;
constexpr int64_t kMaxWordAttributes = 256;

// Attributes in front of a title: up to six of the first field, then the first of each of up to
// three further fields.
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

std::string compact_prompt(const Catalogue& catalogue, const Request& request,
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

AnswerForm compact_answer_form(bool reasoning) {
  if (!reasoning) return {{}, kAnswerClose};
  return {{kReasoningClose, kAnswerOpen}, kAnswerClose};
}

std::string compact_number(int32_t answer) { return fmt::format(" {}", answer); }

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

}  // namespace

PromptStyle compact_style() {
  return {.name = "compact",
          .prompt = compact_prompt,
          .answer_form = compact_answer_form,
          .number = compact_number,
          .parse = parse_tagged_answer,
          .words = compact_words};
}

}  // namespace etrlrec
