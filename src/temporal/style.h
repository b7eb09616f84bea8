// A style of writing: how a request becomes a prompt and how an answer is written and read back. A
// style is a value of functions on text; it knows neither tokenizers nor models (encoding.h makes
// token ids of its texts). prompts.cc has the table of styles. A new one is a unit like
// compact_style and a row there. temporal_styles_test.cc takes every row: answers by number are
// read back, prompts show entries and candidates, words stay whole. Its texts, its time line and
// its answers by title need tests of their own.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/rng.h"
#include "data/dataset.h"
#include "temporal/claims.h"
#include "temporal/sentence_forms.h"

namespace etrlrec {

// What an answer is: the number of a candidate that the prompt lists (the contract of ETRLRec), or
// the candidate's title, written as the time line goes on.
enum class AnswerKind : int8_t { kNumber, kTitle };
AnswerKind answer_kind(std::string_view name);  // number | title; error (kUsage) for others
const char* answer_kind_name(AnswerKind kind);

// What a prompt says besides history and candidates (Request::known), as facts that claims may
// speak of. Pattern: the first of the candidates by a conventional recommender. Time: what
// everybody's events before the request say about the moment (moments.h). List: a pattern of the
// whole catalogue, without what the user has seen, as DELRec shows a recommender (method.md B.3);
// for answers by title, as an item of it need not be a candidate.
enum class Knowledge : int8_t { kNone, kTime, kPattern, kTimePattern, kList };
Knowledge knowledge(std::string_view name);  // error (kUsage) lists the names
const char* knowledge_name(Knowledge knowledge);
std::vector<std::string> knowledge_names();  // none | time | pattern | time+pattern | list
bool knows_time(Knowledge knowledge);
bool knows_pattern(Knowledge knowledge);  // of candidates or of the catalogue

// Entries of a prompt where nobody says otherwise: 8 where candidates take the room, 50 (what
// SASRec sees) on a time line.
int32_t usual_history(AnswerKind kind);

// What decides the texts of a model; part of its card.
struct PromptOptions {
  int32_t max_history = 8;
  bool with_times = true;         // false: the ablation without timestamps
  bool reasoning = true;          // false: the direct-answer form (label-only arm)
  std::string style = "compact";  // a name of prompt_styles()
  AnswerKind answer = AnswerKind::kNumber;
  Knowledge knowledge = Knowledge::kNone;
  int32_t knowledge_items = 5;  // of each list of knowledge, at most
  std::string recommender{};    // that a pattern or list is headed by; empty: it has no name there
  // Prompts with answers by title may name the candidates; those with answers by number always do.
  bool list_candidates = false;
  bool with_attributes = true;  // false: entries and candidates are titles alone
};

// Reasons why an answer does not count; kept in logs and metrics.
enum class AnswerCode : int8_t {
  kValid,
  kNoReasoning,   // no end of the reasoning, or nothing but blanks before it
  kNoAnswer,      // no answer after it
  kNotAnInteger,  // anything but blanks and ASCII digits in it, one '-' in front allowed
  kOutOfRange,
  kTrailingText,  // between reasoning and answer or after the answer
  kRepeatedTag,   // a tag twice or out of order
  kNoCandidate,   // a title that no candidate has
};
const char* answer_code_name(AnswerCode code);

struct ParsedCompletion {
  AnswerCode code = AnswerCode::kNoAnswer;
  std::string_view reasoning;  // view into the text
  int32_t answer = 0;  // as written when valid or out of range (beyond int32: its limit), else 0
};

// What a student writes is `reasoning`, the texts of `close`, the answer and `finish`; each text is
// encoded apart, so that the same text gives the same token ids in every stage.
struct AnswerForm {
  std::vector<std::string_view> close;  // between reasoning and answer; empty: direct answers
  std::string_view finish;              // after the answer
};

// Events of one user as a text that prompts and reading share.
struct TimeLine {
  std::string text;
  struct Span {
    size_t begin = 0, end = 0;
  };
  std::vector<Span> titles;  // [entries] bytes of each entry's answer text
};

// What stands for an item that is not shown, in the tasks of soft prompts (masked_tasks.h).
struct MaskedForm {
  std::string_view entry;       // instead of an entry of a time line, after its moment
  std::string_view name;        // instead of a title in a list
  std::string_view question;    // between everything else and the title that is not shown
  std::string_view candidates;  // in front of the candidates
  std::string (*recommender)(std::string_view name);  // in front of the list of one
};

struct PromptStyle {
  std::string_view name;
  // The system message of models that have a chat template: prompts are user's messages, and what a
  // student writes is the assistant's answer. Empty: texts stand alone.
  std::string_view system;
  // Ends right where the completion begins. The request fits the options (student_prompt).
  std::string (*prompt)(const Catalogue& catalogue, const Request& request,
                        const PromptOptions& options);
  // Entries of a user, oldest first, as a prompt with answers by title shows its history.
  TimeLine (*time_line)(const Catalogue& catalogue, std::span<const int32_t> items,
                        std::span<const int64_t> times, const PromptOptions& options);
  // A list of titles behind what it is, as a line of a prompt with answers by title.
  std::string (*list_line)(std::string_view head, std::span<const std::string> names);
  MaskedForm masked;
  AnswerForm (*answer_form)(const PromptOptions& options);
  std::string (*number)(int32_t answer);  // an answer by number
  // Between a reasoning's close and a title: what a time line has in front of a title, the last
  // entry and the moment, so that the answer stands where reading has learned it.
  std::string (*answer_lead)(const Catalogue& catalogue, const Request& request,
                             const PromptOptions& options);
  // `text` is what follows the prompt, `answers` what answer_texts() gave. Linear in the text, for
  // any bytes.
  ParsedCompletion (*parse)(std::string_view text, std::span<const std::string> answers,
                            const PromptOptions& options);
  // Texts that a tokenizer made for the style keeps whole where it can: what is copied or looked up
  // must not be spelled out. `numbers`: the largest number that is written.
  std::vector<std::string> (*words)(const Catalogue& catalogue, int64_t numbers);
  // The text of an item as an answer by title, which ends in ";". Vocabularies keep frequent ones
  // whole.
  std::string (*title)(const Catalogue& catalogue, int32_t item);
  // What a teacher says, each statement with a blank in front. `rng` draws the wording where the
  // style has several.
  std::string (*reasoning)(std::span<const Statement> statements, const ClaimContext& context,
                           Rng& rng);
  // Reads a reasoning back, whoever wrote it.
  ReasoningReading (*read)(std::string_view reasoning, const ClaimContext& context);
  // What a reasoning names first as what decides; null where it names nothing.
  const Decision* (*decision)(std::string_view reasoning);
};

}  // namespace etrlrec
