// What the untuned student makes of a teacher's reasoning: whether it fits its budget, and whether
// it helps it to find the target (method.md G.2, as Reason4Rec).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "method/model_folder.h"
#include "method/row.h"
#include "text/tokenizer.h"

namespace etrlrec {

// A reasoning about a row of the source.
struct ReadReasoning {
  int64_t row = 0;
  std::string reasoning;
};

class StudentReader {
 public:
  // `weights`: usefulness() will be asked. `source` outlives the reader.
  StudentReader(const std::string& folder, bool weights, const Numerics& numerics,
                const RowSource& source);
  int64_t tokens(const std::string& text) const;
  // log p(target | prompt, reasoning) - log p(target | prompt without reasoning), both among the
  // candidates; nats, in the order of the readings.
  std::vector<double> usefulness(std::span<const ReadReasoning> readings);

 private:
  // Of each row, log p of its target behind the text that follows its prompt.
  std::vector<double> target_logprobs(std::span<const ReadReasoning> readings,
                                      const PromptOptions& prompt) const;

  const RowSource& source_;
  std::unique_ptr<Tokenizer> tokenizer_;         // where no weights are needed
  std::unique_ptr<LoadedModel> model_;           // where they are
  std::unordered_map<int64_t, double> at_once_;  // by row: log p without a reasoning
};

}  // namespace etrlrec
