#include "temporal/prompts.h"

#include <fmt/ranges.h>

#include <array>
#include <unordered_set>

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
  const size_t n = request.history.size();
  CHECK(n <= static_cast<size_t>(options.max_history), kInput,
        "prompt: expected at most {} history entries, found {}\nhint: make the request with this "
        "length",
        options.max_history, n);
  CHECK(request.times.size() == n, kInput,
        "prompt: expected {} times, one for each entry, found {}", n, request.times.size());
  return find_style(options.style).prompt(catalogue, request, options);
}

std::vector<std::string> answer_texts(const Catalogue& catalogue, const Request& request,
                                      const PromptOptions& options) {
  const PromptStyle& style = find_style(options.style);
  const std::string lead = answer_lead(catalogue, request, options);
  std::vector<std::string> texts;
  std::unordered_set<std::string> seen;
  for (size_t k = 0; k < request.candidates.size(); ++k) {
    if (options.answer == AnswerKind::kNumber) {
      texts.push_back(style.number(static_cast<int32_t>(k) + 1));
      continue;
    }
    const std::string title = style.title(catalogue, request.candidates[k]);
    std::string text = title;
    for (int32_t copy = 2; !seen.insert(text).second; ++copy)
      text = fmt::format("{} #{};", std::string_view(title).substr(0, title.size() - 1), copy);
    texts.push_back(lead + text);
  }
  return texts;
}

std::string answer_lead(const Catalogue& catalogue, const Request& request,
                        const PromptOptions& options) {
  if (options.answer != AnswerKind::kTitle || !options.reasoning) return {};
  return find_style(options.style).answer_lead(catalogue, request, options);
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
