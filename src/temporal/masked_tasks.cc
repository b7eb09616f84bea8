#include "temporal/masked_tasks.h"

#include <algorithm>
#include <span>
#include <vector>

#include "base/check.h"
#include "temporal/prompts.h"

namespace etrlrec {
namespace {

// Texts of one prompt.
class MaskedText {
 public:
  MaskedText(const Catalogue& catalogue, const Request& request, const PromptOptions& options)
      : catalogue_(catalogue),
        request_(request),
        options_(options),
        style_(find_style(options.style)) {
    const size_t n = request.history.size();
    CHECK(n <= static_cast<size_t>(options.max_history) && request.times.size() == n, kInput,
          "prompt: expected at most {} history entries with a time each, found {} and {} times",
          options.max_history, n, request.times.size());
  }

  // The first `count` entries of the history as a time line.
  std::string line(size_t count) const { return rendered(count).text; }

  // The same without entry `hidden`, whose moment stays: attributes would betray the title.
  std::string masked_line(size_t count, size_t hidden) const {
    const TimeLine whole = rendered(count);
    const size_t begin = whole.titles[hidden].begin, end = line(hidden + 1).size();
    return whole.text.substr(0, begin) + std::string(style_.masked.entry) + whole.text.substr(end);
  }

  std::string candidates() const {
    if (!options_.list_candidates) return {};
    std::vector<std::string> names;
    for (const int32_t item : request_.candidates) names.push_back(name(item));
    return style_.list_line(style_.masked.candidates, names);
  }

  // A recommender's list without its first item.
  std::string masked_list(std::string_view recommender, std::span<const int32_t> items) const {
    std::vector<std::string> names{std::string(style_.masked.name)};
    for (const int32_t item : items.subspan(1)) names.push_back(name(item));
    return style_.list_line(style_.masked.recommender(recommender), names);
  }

  std::string_view question() const { return style_.masked.question; }
  std::string title(int32_t item) const { return style_.title(catalogue_, item); }

  void check_candidate(int32_t hidden) const {
    const auto& all = request_.candidates;
    CHECK(std::find(all.begin(), all.end(), hidden) != all.end(), kInput,
          "prompt: expected the hidden item {} among the candidates, found {} others",
          catalogue_.item_ids[static_cast<size_t>(hidden)], all.size());
  }

 private:
  TimeLine rendered(size_t count) const {
    return style_.time_line(catalogue_, std::span(request_.history).first(count),
                            std::span(request_.times).first(count), options_);
  }
  // A title without the blank before it and the sign that ends it.
  std::string name(int32_t item) const {
    const std::string text = title(item);
    return text.substr(1, text.size() - 2);
  }

  const Catalogue& catalogue_;
  const Request& request_;
  const PromptOptions& options_;
  const PromptStyle& style_;
};

}  // namespace

int32_t example_length(int32_t entries, int32_t wanted) {
  const int32_t length = std::min(wanted, entries - 2);
  return length < kFewestExampleItems ? 0 : length;
}

std::string temporal_analysis_prompt(const Catalogue& catalogue, const Request& request,
                                     int32_t example_items, const PromptOptions& options) {
  const MaskedText text(catalogue, request, options);
  const size_t n = request.history.size();
  CHECK(n >= 2, kInput, "temporal analysis: expected at least two entries, found {}", n);
  text.check_candidate(request.history[n - 2]);
  std::string prompt;
  const auto shown = static_cast<size_t>(example_length(static_cast<int32_t>(n), example_items));
  if (shown > 0) {
    prompt += text.masked_line(shown, shown - 2);
    prompt += text.question();
    prompt += text.title(request.history[shown - 2]) + "\n";
  }
  prompt += text.masked_line(n, n - 2) + text.candidates();
  prompt += text.question();
  return prompt;
}

std::string pattern_simulating_prompt(const Catalogue& catalogue, const Request& request,
                                      std::string_view recommender, const PromptOptions& options) {
  const MaskedText text(catalogue, request, options);
  const std::vector<int32_t>& list = request.known.pattern;
  CHECK(!list.empty(), kInput,
        "pattern simulating: expected a list of the recommender, found none");
  CHECK(std::count(list.begin(), list.end(), list.front()) == 1, kInput,
        "pattern simulating: the hidden item {} stands in the rest of the list, too",
        catalogue.item_ids[static_cast<size_t>(list.front())]);
  text.check_candidate(list.front());
  std::string prompt = text.line(request.history.size()) + text.candidates();
  prompt += text.masked_list(recommender, list);
  prompt += text.question();
  return prompt;
}

}  // namespace etrlrec
