#include "temporal/prompts.h"

#include <fmt/ranges.h>

#include <array>

#include "base/check.h"
#include "temporal/compact_style.h"
#include "temporal/natural_style.h"

namespace etrlrec {

std::span<const PromptStyle> prompt_styles() {
  static const std::array kStyles{compact_style(), natural_style()};
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

std::vector<std::string> answer_texts(const Catalogue& catalogue, const Request& request,
                                      const PromptOptions& options) {
  return find_style(options.style).answers(catalogue, request, options);
}

std::string completion_text(std::string_view reasoning, std::string_view answer,
                            const PromptOptions& options) {
  const AnswerForm form = find_style(options.style).answer_form(options);
  std::string text(options.reasoning ? reasoning : "");
  for (const std::string_view close : form.close) text += close;
  return text + std::string(answer) + std::string(form.finish);
}

ParsedCompletion parse_completion(std::string_view text, std::span<const std::string> answers,
                                  const PromptOptions& options) {
  return find_style(options.style).parse(text, answers, options);
}

}  // namespace etrlrec
