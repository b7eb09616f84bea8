#include "temporal/prompt_lists.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"

namespace etrlrec {
namespace {

std::string candidate_number(const Catalogue& catalogue, const Request& request, int32_t item,
                             std::string_view head) {
  const auto& all = request.candidates;
  const auto found = std::find(all.begin(), all.end(), item);
  CHECK(found != all.end(), kInput,
        "prompt: expected candidates after \"{}\", found item {} that is none", head,
        catalogue.item_ids[static_cast<size_t>(item)]);
  return fmt::format("{}", found - all.begin() + 1);
}

}  // namespace

std::vector<PromptList> prompt_lists(const Catalogue& catalogue, const Request& request,
                                     const PromptOptions& options, const ListHeads& heads,
                                     const std::function<std::string(int32_t item)>& title) {
  const bool by_title = options.answer == AnswerKind::kTitle;
  std::vector<PromptList> lists;
  const auto add = [&](std::string_view head, std::span<const int32_t> items) {
    PromptList& list = lists.emplace_back(PromptList{std::string(head), {}});
    for (const int32_t item : items)
      list.names.push_back(by_title ? title(item)
                                    : candidate_number(catalogue, request, item, head));
  };
  if (by_title && options.list_candidates) {
    CHECK(!request.candidates.empty(), kInput,
          "prompt: expected candidates to list, found none\n"
          "hint: a model whose prompts list candidates chooses among given ones only");
    add(heads.candidates, request.candidates);
  }
  const KnownItems& known = request.known;
  if (knows_time(options.knowledge)) {
    add(heads.lately, known.lately);
    add(heads.after, known.after);
    add(heads.fresh, known.fresh);
  }
  if (knows_pattern(options.knowledge)) {
    CHECK(!known.pattern.empty(), kInput,
          "prompt: expected what the recommender says about the request, found nothing\n"
          "hint: --recommender FOLDER");
    add(options.recommender.empty() ? std::string(heads.pattern)
                                    : heads.recommender(options.recommender),
        known.pattern);
  }
  return lists;
}

std::optional<int64_t> last_time(const Request& request) {
  return request.times.empty() ? std::nullopt : std::optional(request.times.back());
}

}  // namespace etrlrec
