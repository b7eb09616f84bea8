// The lists of items that prompts show besides the history, whatever the style calls them.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "temporal/style.h"

namespace etrlrec {

// What a style writes in front of each list.
struct ListHeads {
  std::string_view candidates, lately, after, fresh, pattern;
  std::string (*recommender)(std::string_view name);  // instead of pattern where it is named
};
struct PromptList {
  std::string head;
  std::vector<std::string>
      names;  // best first: titles, or where a number answers candidate numbers
};
// In their order: the candidates where a prompt by title names them, then what is known. Those of
// time are there even when empty: nothing new is something to know, too. `title`: an item's title
// as the style writes it. Errors (kInput): no candidates to list, no pattern where it is to be
// shown, a known item that is no candidate where a number answers.
std::vector<PromptList> prompt_lists(const Catalogue& catalogue, const Request& request,
                                     const PromptOptions& options, const ListHeads& heads,
                                     const std::function<std::string(int32_t item)>& title);

// The time of the last entry; nothing without any.
std::optional<int64_t> last_time(const Request& request);

}  // namespace etrlrec
