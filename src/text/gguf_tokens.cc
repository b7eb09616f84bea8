#include "text/gguf_tokens.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <unordered_map>

#include "base/json.h"
#include "text/utf8.h"

namespace etrlrec {

const std::vector<GgufPre>& gguf_pre_tokenizers() {
  static const std::vector<GgufPre> table{
      {"llama-bpe", PatternKind::kLlama3, false, true, true},
      {"llama3", PatternKind::kLlama3, false, true, true},
      {"llama-v3", PatternKind::kLlama3, false, true, true},
      {"smaug-bpe", PatternKind::kLlama3, false, false, false},
      {"qwen2", PatternKind::kQwen2, true, false, false},
      {"deepseek-r1-qwen", PatternKind::kQwen2, true, false, false},
      {"gpt-2", PatternKind::kGpt2, false, false, false},
      {"smollm", PatternKind::kDigits, false, false, false},
      {"starcoder", PatternKind::kDigits, false, false, false}};
  return table;
}

OrderedJson visible_space_normalizer(bool adds_space) {
  const std::string space = "\u2581";
  OrderedJson steps = OrderedJson::array();
  if (adds_space) steps.push_back({{"type", "Prepend"}, {"prepend", space}});
  steps.push_back({{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", space}});
  return {{"type", "Sequence"}, {"normalizers", std::move(steps)}};
}

std::vector<std::string> merges_of_scores(const std::vector<std::string_view>& texts,
                                          const std::vector<int64_t>& types,
                                          const std::vector<double>& scores) {
  std::unordered_map<std::string_view, size_t> ids;
  for (size_t id = 0; id < texts.size(); ++id)
    if (types[id] == kOrdinaryToken) ids.emplace(texts[id], id);
  struct Merge {
    double score;
    size_t left_length, right_length, whole, left, right;
  };
  std::vector<Merge> merges;
  std::vector<size_t> cuts;  // starts of characters
  for (size_t id = 0; id < texts.size(); ++id) {
    const std::string_view text = texts[id];
    if (types[id] != kOrdinaryToken) continue;
    cuts.clear();
    for (size_t at = 0; at < text.size(); at += utf8_length(text.substr(at))) cuts.push_back(at);
    for (size_t i = 1; i < cuts.size(); ++i) {
      const auto left = ids.find(text.substr(0, cuts[i])), right = ids.find(text.substr(cuts[i]));
      if (left != ids.end() && right != ids.end())
        merges.push_back({scores[id], i, cuts.size() - i, id, left->second, right->second});
    }
  }
  std::sort(merges.begin(), merges.end(), [](const Merge& a, const Merge& b) {
    return std::tuple(-a.score, b.left_length, b.right_length, a.whole, a.left, a.right) <
           std::tuple(-b.score, a.left_length, a.right_length, b.whole, b.left, b.right);
  });
  std::vector<std::string> out;
  for (const Merge& merge : merges)
    out.push_back(fmt::format("{} {}", texts[merge.left], texts[merge.right]));
  return out;
}

}  // namespace etrlrec
