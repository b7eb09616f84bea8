#include "temporal/prompts.h"

#include <fmt/ranges.h>

#include <array>

#include "base/check.h"
#include "temporal/compact_style.h"

namespace etrlrec {

std::span<const PromptStyle> prompt_styles() {
  static const std::array kStyles{compact_style()};
  return kStyles;
}

std::vector<std::string> style_names() {
  std::vector<std::string> names;
  for (const PromptStyle& style : prompt_styles()) names.emplace_back(style.name);
  return names;
}

const PromptStyle& find_style(std::string_view name, std::string_view where) {
  for (const PromptStyle& style : prompt_styles())
    if (style.name == name) return style;
  fail(ExitCode::kInput, "{}: expected one of {}, found \"{}\"", where,
       fmt::join(style_names(), ", "), name);
}

std::string student_prompt(const Catalogue& catalogue, const Request& request,
                           const PromptOptions& options) {
  return find_style(options.style).prompt(catalogue, request, options);
}

std::string answer_text(int32_t answer, const PromptOptions& options) {
  return find_style(options.style).number(answer);
}

std::string completion_text(std::string_view reasoning, int32_t answer,
                            const PromptOptions& options) {
  const PromptStyle& style = find_style(options.style);
  const AnswerForm form = style.answer_form(options.reasoning);
  std::string text(options.reasoning ? reasoning : "");
  for (const std::string_view close : form.close) text += close;
  return text + style.number(answer) + std::string(form.finish);
}

ParsedCompletion parse_completion(std::string_view text, int32_t num_candidates,
                                  const PromptOptions& options) {
  return find_style(options.style).parse(text, num_candidates, options.reasoning);
}

}  // namespace etrlrec
