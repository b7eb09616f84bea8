#include "method/sft_row.h"

#include <fmt/format.h>

#include <algorithm>

#include "temporal/claims.h"
#include "temporal/encoding.h"
#include "temporal/prompts.h"

namespace etrlrec {
namespace {

constexpr const char* kTextField = "text";

int16_t field_id(std::vector<std::string>& names, const std::string& name) {
  auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) found = names.insert(names.end(), name);
  return static_cast<int16_t>(found - names.begin());
}

// Which argument of `predicate( a b)` the text at `offset` belongs to, from 1; 0 for the predicate
// and the brackets.
int32_t argument_at(std::string_view claim, size_t offset) {
  const size_t open = claim.find('(');
  while (offset < claim.size() && claim[offset] == ' ') ++offset;
  if (open == std::string_view::npos || offset <= open || offset >= claim.size() ||
      claim[offset] == ')')
    return 0;
  int32_t argument = 0;
  bool inside = false;
  for (size_t i = open + 1; i <= offset; ++i) {
    const bool separator = claim[i] == ' ' || claim[i] == ',';
    argument += !separator && !inside;
    inside = !separator;
  }
  return argument;
}

// Field of each token of a reasoning: predicate and argument of the claim its first byte lies in.
std::vector<int16_t> reasoning_fields(const Tokenizer& tokenizer, std::string_view reasoning,
                                      std::span<const int64_t> ids,
                                      std::vector<std::string>& names) {
  const int16_t text = field_id(names, kTextField);
  std::vector<int16_t> fields(ids.size(), text);
  std::vector<size_t> starts;
  size_t length = 0;
  for (const int64_t id : ids) {
    starts.push_back(length);
    length += tokenizer.token_text(id).size();
  }
  if (length != reasoning.size()) return fields;
  for (const Claim& claim : parse_claims(reasoning)) {
    if (claim.predicate.empty()) continue;
    const std::string_view span = reasoning.substr(claim.begin, claim.end - claim.begin);
    for (size_t t = 0; t < ids.size(); ++t) {
      if (starts[t] < claim.begin || starts[t] >= claim.end) continue;
      const int32_t argument = argument_at(span, starts[t] - claim.begin);
      fields[t] = field_id(
          names, argument == 0 ? claim.predicate : fmt::format("{}/{}", claim.predicate, argument));
    }
  }
  return fields;
}

}  // namespace

SftRow make_sft_row(const Tokenizer& tokenizer, std::vector<int64_t> prompt,
                    std::string_view reasoning, int32_t answer, const AnswerEncoding& answers,
                    const PromptOptions& options, std::vector<std::string>& field_names) {
  SftRow row;
  row.prompt = std::move(prompt);
  row.completion = encode_completion(tokenizer, answers, reasoning, answer);
  row.answer_tokens = static_cast<int64_t>(answers.answers[static_cast<size_t>(answer - 1)].size());
  const auto finish = static_cast<int64_t>(answers.finish.size());
  row.answer_begin = static_cast<int64_t>(row.completion.size()) - finish - row.answer_tokens;
  const auto close = static_cast<int64_t>(answers.close.size());
  const auto reasoning_tokens = static_cast<size_t>(row.answer_begin - close);
  row.fields = reasoning_fields(tokenizer, options.reasoning ? reasoning : std::string_view{},
                                std::span(row.completion).first(reasoning_tokens), field_names);
  row.fields.resize(row.completion.size(), field_id(field_names, "format"));
  std::fill_n(row.fields.begin() + row.answer_begin, row.answer_tokens,
              field_id(field_names, "answer"));
  return row;
}

}  // namespace etrlrec
