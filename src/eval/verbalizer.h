// The verbalizer of DELRec's released program (OpenPrompt's manual verbalizer over all titles;
// method.md B.7), to be judged beside whole titles: the label words of an item are its title and
// its title without the year, and of a word of several tokens only the first one counts. Titles
// that begin alike cannot be told apart.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "models/language_model.h"
#include "temporal/style.h"
#include "text/tokenizer.h"

namespace etrlrec {

// The title without " (1995)" at its end; as it is where it has no year there.
std::string title_without_year(const std::string& title);

// The first tokens of an item's label words, as the style writes titles; one, or two where the
// title has a year. The score of an item is the mean of their log-probabilities.
std::vector<int64_t> label_tokens(const Tokenizer& tokenizer, const Catalogue& catalogue,
                                  const PromptStyle& style, int32_t item);

// The scores of the candidates of each request below its prompt, [requests][candidates].
std::vector<std::vector<double>> verbalizer_scores(const LanguageModel& model,
                                                   const Tokenizer& tokenizer,
                                                   const Catalogue& catalogue,
                                                   const PromptStyle& style,
                                                   std::span<const std::vector<int64_t>> prompts,
                                                   std::span<const Request> requests);

struct VerbalizerCollisions {
  int64_t titles = 0,
          collided_titles = 0;          // of the catalogue; those with the tokens of another one
  int64_t rows = 0, collided_rows = 0;  // requests; those whose target has the tokens of a
                                        // candidate with another title
};
// Titles count once, whatever the number of items that have them.
VerbalizerCollisions count_collisions(const Tokenizer& tokenizer, const Catalogue& catalogue,
                                      const PromptStyle& style, std::span<const Request> requests);
nlohmann::ordered_json to_json(const VerbalizerCollisions& collisions);
std::string collisions_text(const VerbalizerCollisions& collisions);  // one line, without its end

}  // namespace etrlrec
