#include "temporal/encoding.h"

#include <algorithm>

#include "base/check.h"

namespace etrlrec {

namespace {

bool begins(const std::vector<int64_t>& ids, const std::vector<int64_t>& begin) {
  return begin.size() < ids.size() && std::equal(begin.begin(), begin.end(), ids.begin());
}

// Whether the tokens of some number begin those of another one: " 1" and " 12" where digits are
// split.
bool numbers_begin_others(const std::vector<std::vector<int64_t>>& numbers) {
  return std::any_of(numbers.begin(), numbers.end(), [&](const auto& begin) {
    return std::any_of(numbers.begin(), numbers.end(),
                       [&](const auto& ids) { return begins(ids, begin); });
  });
}

}  // namespace

std::vector<int64_t> encode_between(const Tokenizer& tokenizer, std::span<const int64_t> before,
                                    std::string_view text, std::span<const int64_t> after) {
  std::vector<int64_t> ids(before.begin(), before.end());
  const std::vector<int64_t> inner = tokenizer.encode(text);
  ids.insert(ids.end(), inner.begin(), inner.end());
  ids.insert(ids.end(), after.begin(), after.end());
  return ids;
}

AnswerEncoding encode_answers(const Tokenizer& tokenizer, std::span<const std::string> texts,
                              const PromptOptions& options, int32_t most_candidates) {
  const PromptStyle& style = find_style(options.style);
  const AnswerForm form = style.answer_form(options);
  AnswerEncoding encoding;
  for (const std::string_view text : form.close) {
    const auto ids = tokenizer.encode(text);
    encoding.close.insert(encoding.close.end(), ids.begin(), ids.end());
  }
  for (const std::string& text : texts) encoding.answers.push_back(tokenizer.encode(text));
  encoding.finish = tokenizer.encode(form.finish);
  encoding.finish.push_back(tokenizer.eos_id());
  if (options.answer == AnswerKind::kTitle) return encoding;
  auto numbers = encoding.answers;
  for (auto k = std::ssize(numbers) + 1; k <= most_candidates; ++k)
    numbers.push_back(tokenizer.encode(style.number(static_cast<int32_t>(k))));
  if (numbers_begin_others(numbers)) {
    for (auto& answer : encoding.answers) answer.push_back(encoding.finish.front());
    encoding.finish.erase(encoding.finish.begin());
  }
  return encoding;
}

std::vector<int64_t> encode_completion(const Tokenizer& tokenizer, const AnswerEncoding& encoding,
                                       std::string_view reasoning, int32_t answer) {
  CHECK(answer >= 1 && answer <= static_cast<int32_t>(encoding.answers.size()), kFailure,
        "completion: expected an answer in 1..{}, found {}", encoding.answers.size(), answer);
  std::vector<int64_t> ids;
  if (!encoding.close.empty()) ids = tokenizer.encode(reasoning);
  const auto& number = encoding.answers[static_cast<size_t>(answer - 1)];
  ids.insert(ids.end(), encoding.close.begin(), encoding.close.end());
  ids.insert(ids.end(), number.begin(), number.end());
  ids.insert(ids.end(), encoding.finish.begin(), encoding.finish.end());
  return ids;
}

}  // namespace etrlrec
