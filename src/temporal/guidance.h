// The guidance of a language model that teaches (method.md A.4): the task, one person's history,
// the candidates, what to analyse in the three dimensions of temporal knowledge, perhaps the
// counted facts, perhaps a notice of what was chosen in truth, and the contract of the answer.
// Everything is rendered from the request; nothing but the notice reads the target.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/rng.h"
#include "temporal/claims.h"
#include "text/chat_message.h"

namespace etrlrec {

// The words of a domain and the paragraphs of the guidance. {item} {items} {chose} {choose}
// {attributes} in a paragraph stand for those words, {number} and {title} in the notice for what
// was chosen.
struct GuidanceTexts {
  std::string domain = "neutral";  // film | game | product | neutral, or what a file says
  std::string item, items, chose, choose, attributes;
  std::string system, task, sequentiality, transition, thought, facts, contract, notice;
};
std::vector<std::string> guidance_domains();
// Error (kUsage) lists the names.
GuidanceTexts guidance_texts(std::string_view domain);
// The domain that titles, names of fields and attributes speak of; neutral where they say nothing.
std::string guess_domain(const Catalogue& catalogue);
// Texts of a file: a JSON object with some of the members above; others are those of `base`, or of
// the file's "domain" where that is a known one. Errors (kInput): unknown members, an unknown slot.
GuidanceTexts read_guidance(const std::filesystem::path& path, const GuidanceTexts& base);
nlohmann::ordered_json to_json(const GuidanceTexts& texts);

struct GuidanceOptions {
  bool fact_sheet = true;       // counted facts; false: bare guidance (faithful)
  bool with_times = true;       // the time before each entry
  bool with_attributes = true;  // of entries and candidates
  bool hinted = false;          // reveals request.target_slot
};
// Paragraphs of the guidance, for whoever else is told of a request: history and candidates as
// numbered lists, the counted facts as one sentence a line (`rng` draws their wording).
std::string history_text(const GuidanceTexts& texts, const ClaimContext& context,
                         const GuidanceOptions& options);
std::string candidates_text(const ClaimContext& context, const GuidanceOptions& options);
std::string facts_text(const GuidanceTexts& texts, const ClaimContext& context,
                       const GuidanceOptions& options, Rng& rng);
// The words of a domain in the place of their slots.
std::string with_words(std::string_view text, const GuidanceTexts& texts,
                       std::string_view number = {}, std::string_view title = {});
// A system and a user message. `rng` draws the wording of the facts.
std::vector<ChatMessage> guidance_messages(const GuidanceTexts& texts, const ClaimContext& context,
                                           const GuidanceOptions& options, Rng& rng);

// What a teacher answered: the reasoning between its tags as one line that begins with a blank, and
// the number.
struct TeacherAnswer {
  std::string problem;  // empty: it keeps the contract
  std::string reasoning;
  int32_t answer = 0;  // 1-based
};
// `text` may begin with a thinking part, <think> … </think>, and a preface; both are left out. The
// contract: one pair of each tag in this order, nothing behind them, a number of the candidates.
TeacherAnswer read_teacher_answer(std::string_view text, int32_t num_candidates);
// An answer without the thinking part that it may begin with; nothing where that has no end.
std::optional<std::string_view> behind_thought(std::string_view text);
// White space as single blanks, one in front.
std::string one_line(std::string_view text);

}  // namespace etrlrec
