#include "train/frozen_reader.h"

#include <utility>

#include "base/check.h"
#include "train/reference_scope.h"

namespace etrlrec {

FrozenReader::FrozenReader(LanguageModel& policy, LanguageModel& reference,
                           std::vector<int64_t> close)
    : policy_(policy), reference_(reference), close_(std::move(close)) {
  CHECK(!close_.empty(), kUsage, "usefulness: expected tokens that close a reasoning, found none");
}

// In the forest, tries of answers of several tokens included.
int64_t FrozenReader::num_tokens(const ReasonedPrompt& row) const {
  int64_t below = std::ssize(close_);
  if (!all_single_tokens(row.answers))
    for (const auto& answer : row.answers) below += std::ssize(answer);
  int64_t tokens = std::ssize(row.prompt) + below;
  for (const auto& reasoning : row.reasonings) tokens += std::ssize(reasoning) + below;
  return tokens;
}

void FrozenReader::read(std::span<const ReasonedPrompt> rows,
                        std::vector<std::vector<double>>& gains) const {
  TokenForest forest;
  std::vector<int64_t> segments;
  std::vector<Answers> answers;
  for (const ReasonedPrompt& row : rows) {
    CHECK(row.target >= 0 && row.target < std::ssize(row.answers), kInput,
          "usefulness: target: expected 0 to {}, found {}", std::ssize(row.answers) - 1,
          row.target);
    const int64_t root = reference_.add_prompt(forest, row.prompt);
    segments.push_back(forest.add(root, close_));
    for (std::vector<int64_t> text : row.reasonings) {
      text.insert(text.end(), close_.begin(), close_.end());
      segments.push_back(forest.add(root, text));
    }
    answers.insert(answers.end(), row.reasonings.size() + 1, row.answers);
  }
  const auto scores = score_answers(reference_, std::move(forest), segments, answers);
  auto next = scores.begin();
  for (const ReasonedPrompt& row : rows) {
    const auto target_logprob = [&] { return (*next++)[row.target].item<double>(); };
    const double at_once = target_logprob();
    std::vector<double>& gained = gains.emplace_back();
    for (size_t i = 0; i < row.reasonings.size(); ++i) gained.push_back(target_logprob() - at_once);
  }
}

std::vector<std::vector<double>> FrozenReader::gains(std::span<const ReasonedPrompt> rows,
                                                     int64_t batch_tokens) const {
  const at::NoGradGuard no_grad;
  const ReferenceScope as_before(policy_, reference_);
  std::vector<std::vector<double>> all;
  for (size_t begin = 0, end = 0; begin < rows.size(); begin = end) {
    int64_t tokens = 0;
    do {
      tokens += num_tokens(rows[end++]);
    } while (end < rows.size() && tokens + num_tokens(rows[end]) <= batch_tokens);
    read(rows.subspan(begin, end - begin), all);
  }
  return all;
}

}  // namespace etrlrec
