// The two tasks on which DELRec trains soft prompts (arXiv 2406.11156; method.md B.3), as texts of
// any style: Temporal Analysis hides the last entry but one of a time line, Recommendation Pattern
// Simulating the first item of a recommender's list. The answer to both is the hidden item's title,
// as answer_texts() writes it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "data/dataset.h"
#include "temporal/style.h"

namespace etrlrec {

// The fewest entries of an example: what stands before the hidden one, that, and what follows it.
inline constexpr int32_t kFewestExampleItems = 3;

// Entries of the example that a history of `entries` has room for: at most `wanted`, all of them
// before the history's own hidden entry; 0 where that is fewer than an example needs.
int32_t example_length(int32_t entries, int32_t wanted);

// Temporal Analysis: the request's history without its last entry but one, whose moment and whose
// successor are shown. Before it stands an example from the history's beginning, answered:
// example_length(entries, example_items) entries whose last but one is hidden, too. Errors (kInput)
// as student_prompt; a history of fewer than two entries; candidates without the hidden item.
std::string temporal_analysis_prompt(const Catalogue& catalogue, const Request& request,
                                     int32_t example_items, const PromptOptions& options);

// Recommendation Pattern Simulating: the history and the list Request::known.pattern of the
// recommender with this name, its first item hidden. Errors (kInput) as student_prompt; an empty
// list; the hidden item a second time in the list; candidates without it.
std::string pattern_simulating_prompt(const Catalogue& catalogue, const Request& request,
                                      std::string_view recommender, const PromptOptions& options);

}  // namespace etrlrec
