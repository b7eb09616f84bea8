#include "eval/verbalizer.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/check.h"
#include "base/json.h"
#include "engine/scoring.h"

namespace etrlrec {

namespace {

constexpr size_t kYearText = 7, kYearDigits = 4;  // " (1995)"

}  // namespace

std::string title_without_year(const std::string& title) {
  if (title.size() <= kYearText) return title;
  const std::string_view end = std::string_view(title).substr(title.size() - kYearText);
  const bool has_year =
      end.starts_with(" (") && end.back() == ')' &&
      std::all_of(end.begin() + 2, end.end() - 1, [](char c) { return c >= '0' && c <= '9'; });
  return has_year ? title.substr(0, title.size() - kYearText) : title;
}

std::vector<int64_t> label_tokens(const Tokenizer& tokenizer, const Catalogue& catalogue,
                                  const PromptStyle& style, int32_t item) {
  const std::string& title = catalogue.titles[static_cast<size_t>(item)];
  const std::string without = title_without_year(title);
  std::string text = style.title(catalogue, item);
  std::vector<int64_t> tokens;
  const auto add = [&] {
    const std::vector<int64_t> ids = tokenizer.encode(text);
    CHECK(!ids.empty(), kInput, "verbalizer: \"{}\": expected a token, found none", text);
    tokens.push_back(ids.front());
  };
  add();
  if (without == title) return tokens;
  // Styles write other brackets, each as one byte, and may have cut a long title before its year.
  const size_t year = text.rfind(title.substr(title.size() - kYearText + 2, kYearDigits));
  if (year == std::string::npos || year < 2 || text[year - 2] != ' ' ||
      (text[year - 1] != '[' && text[year - 1] != '('))
    return tokens;
  text.erase(year - 2, kYearText);
  add();
  return tokens;
}

std::vector<std::vector<double>> verbalizer_scores(const LanguageModel& model,
                                                   const Tokenizer& tokenizer,
                                                   const Catalogue& catalogue,
                                                   const PromptStyle& style,
                                                   std::span<const std::vector<int64_t>> prompts,
                                                   std::span<const Request> requests) {
  const at::NoGradGuard no_grad;
  std::vector<std::vector<std::vector<int64_t>>> words;  // [requests][candidates][label words]
  std::vector<Answers> tokens;                           // [requests], each token once
  for (const Request& request : requests) {
    auto& row = words.emplace_back();
    std::set<int64_t> all;
    for (const int32_t item : request.candidates) {
      row.push_back(label_tokens(tokenizer, catalogue, style, item));
      all.insert(row.back().begin(), row.back().end());
    }
    Answers& once = tokens.emplace_back();
    for (const int64_t token : all) once.push_back({token});
  }
  const std::vector<at::Tensor> logprobs = sequence_logprobs(model, prompts, tokens);
  std::vector<std::vector<double>> scores(requests.size());
  for (size_t r = 0; r < requests.size(); ++r) {
    const at::Tensor row = logprobs[r].to(at::kCPU, at::kFloat).contiguous();
    std::map<int64_t, double> of_token;
    for (size_t i = 0; i < tokens[r].size(); ++i)
      of_token[tokens[r][i].front()] = row.const_data_ptr<float>()[i];
    for (const std::vector<int64_t>& label : words[r]) {
      double sum = 0;
      for (const int64_t token : label) sum += of_token.at(token);
      scores[r].push_back(sum / static_cast<double>(label.size()));
    }
  }
  return scores;
}

VerbalizerCollisions count_collisions(const Tokenizer& tokenizer, const Catalogue& catalogue,
                                      const PromptStyle& style, std::span<const Request> requests) {
  const std::vector<int32_t> canonical = canonical_items(catalogue);
  std::vector<std::vector<int64_t>> tokens(canonical.size());
  std::map<std::vector<int64_t>, int64_t> titles_of;
  VerbalizerCollisions found;
  for (size_t item = 0; item < canonical.size(); ++item) {
    tokens[item] = label_tokens(tokenizer, catalogue, style, static_cast<int32_t>(item));
    std::sort(tokens[item].begin(), tokens[item].end());
    if (static_cast<size_t>(canonical[item]) != item) continue;
    ++found.titles;
    ++titles_of[tokens[item]];
  }
  for (const auto& [same, count] : titles_of)
    if (count > 1) found.collided_titles += count;
  for (const Request& request : requests) {
    ++found.rows;
    const auto target =
        static_cast<size_t>(request.candidates[static_cast<size_t>(request.target_slot)]);
    found.collided_rows +=
        std::any_of(request.candidates.begin(), request.candidates.end(), [&](int32_t candidate) {
          const auto other = static_cast<size_t>(candidate);
          return canonical[other] != canonical[target] && tokens[other] == tokens[target];
        });
  }
  return found;
}

OrderedJson to_json(const VerbalizerCollisions& collisions) {
  return {{"titles", collisions.titles},
          {"collided_titles", collisions.collided_titles},
          {"rows", collisions.rows},
          {"collided_rows", collisions.collided_rows}};
}

std::string collisions_text(const VerbalizerCollisions& collisions) {
  return fmt::format(
      "verbalizer: {} of {} titles have the first tokens of another one, and so has the target of "
      "{} of {} rows among its candidates",
      collisions.collided_titles, collisions.titles, collisions.collided_rows, collisions.rows);
}

}  // namespace etrlrec
