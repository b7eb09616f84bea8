// One row as a model sees it: the request with the last entries of its history, the fact sheet of
// those entries, the prompt that shows them and the prompt's tokens. Every stage and every protocol
// takes these four from here, so that a claim, a fact and a prompt always speak of the same
// entries. Facts and prompt are made when they are first asked for.
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "temporal/claims.h"
#include "temporal/facts.h"
#include "temporal/prompts.h"
#include "temporal/statistics.h"
#include "text/tokenizer.h"

namespace etrlrec {

// A view belongs to one thread at a time.
class RowView {
 public:
  // Keeps the last options.max_history entries of the request. `catalogue` and `statistics` outlive
  // the view; `statistics` may be null where nobody asks for facts.
  RowView(const Catalogue& catalogue, const TemporalStatistics* statistics, const Request& request,
          const PromptOptions& options);

  const Request& request() const { return request_; }
  const FactSheet& facts() const;            // of request()
  const std::string& prompt() const;         // student_prompt of request()
  std::vector<std::string> answers() const;  // answer_texts of request()
  // The tokens of prompt() between those that the model wants around every text: virtual tokens of
  // soft prompts before it, the end token that an encoder reads after it.
  std::vector<int64_t> encoding(const Tokenizer& tokenizer, std::span<const int64_t> before = {},
                                std::span<const int64_t> after = {}) const;
  const PromptStyle& style() const { return find_style(options_.style); }
  // What was written behind prompt(): a view into the text.
  ParsedCompletion parse(std::string_view text) const {
    return parse_completion(text, answers(), options_);
  }
  template <std::same_as<std::string> Temporary>
  ParsedCompletion parse(Temporary&& text) const = delete;
  // A reasoning in the style of the prompt, and its claims alone.
  ReasoningReading read(std::string_view reasoning) const {
    return style().read(reasoning, context());
  }
  std::vector<Claim> claims(std::string_view reasoning) const { return read(reasoning).claims; }
  // What judging a claim needs. A view into this object.
  ClaimContext context() const { return {*catalogue_, request_, facts()}; }

 private:
  const Catalogue* catalogue_;
  const TemporalStatistics* statistics_;
  Request request_;
  PromptOptions options_;
  mutable std::optional<FactSheet> facts_;
  mutable std::optional<std::string> prompt_;
};

}  // namespace etrlrec
