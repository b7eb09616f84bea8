#include "method/soft_prompt_rows.h"

#include <algorithm>
#include <array>
#include <unordered_set>

#include "base/check.h"
#include "base/rng.h"
#include "data/histories.h"
#include "method/row.h"

namespace etrlrec {
namespace {

constexpr int64_t kDrawsPerCandidate = 50;  // then every item is looked at

}  // namespace

TaskRows::TaskRows(const Dataset& dataset, const Split& split, const TaskRowOptions& options)
    : dataset_(dataset), options_(options), canonical_(canonical_items(dataset.catalogue)) {
  CHECK(options.num_candidates >= 2, kUsage, "--num-candidates: expected at least 2, found {}",
        options.num_candidates);
  std::vector<bool> is_known(static_cast<size_t>(dataset.catalogue.num_items()));
  for (size_t user = 0; user < split.train_end.size(); ++user)
    for (int64_t i = dataset.user_offsets[user]; i < split.train_end[user]; ++i)
      is_known[static_cast<size_t>(dataset.items[static_cast<size_t>(i)])] = true;
  for (size_t item = 0; item < is_known.size(); ++item)
    if (is_known[item]) known_.push_back(static_cast<int32_t>(item));
}

bool TaskRows::can_analyse(const Row& row) const {
  const auto at = static_cast<size_t>(row.position);
  const auto title = [&](size_t i) { return canonical_[static_cast<size_t>(dataset_.items[i])]; };
  return row.position >= dataset_.user_offsets[static_cast<size_t>(row.user)] + 2 &&
         title(at - 1) != title(at);
}

Request TaskRows::analysis(const Row& row) const {
  CHECK(can_analyse(row), kInput, "temporal analysis: row {} has no entry that can be hidden",
        row.position);
  // What a request for the next event would show, which the user may not have.
  Request request = request_after(dataset_, row.user, row.position + 1, options_.max_history);
  request.now = request.times.back();
  const std::array target{dataset_.items[static_cast<size_t>(row.position) - 1]};
  add_candidates(row, "analysis", target, request);
  return request;
}

Request TaskRows::simulating(const Row& row, std::span<const int32_t> list) const {
  CHECK(options_.num_candidates > std::ssize(list), kUsage,
        "--num-candidates: expected more than the {} items of a list, found {}", list.size(),
        options_.num_candidates);
  Request request = history_request(dataset_, row, options_.max_history);
  request.known.pattern.assign(list.begin(), list.end());
  add_candidates(row, "simulating", list, request);
  return request;
}

void TaskRows::add_candidates(const Row& row, std::string_view task,
                              std::span<const int32_t> wanted, Request& request) const {
  std::unordered_set<int32_t> titles;
  for (int64_t i = dataset_.user_offsets[static_cast<size_t>(row.user)]; i <= row.position; ++i)
    titles.insert(canonical_[static_cast<size_t>(dataset_.items[static_cast<size_t>(i)])]);
  for (const int32_t item : wanted) titles.insert(canonical_[static_cast<size_t>(item)]);
  std::vector<int32_t>& all = request.candidates;
  all.assign(wanted.begin(), wanted.end());
  Rng rng(options_.seed, fmt::format("soft prompt {}", task), static_cast<uint64_t>(row.position));
  const auto count = static_cast<size_t>(options_.num_candidates);
  const auto take = [&](int32_t item) {
    if (titles.insert(canonical_[static_cast<size_t>(item)]).second) all.push_back(item);
  };
  for (int64_t draw = 0; all.size() < count && draw < kDrawsPerCandidate * options_.num_candidates;
       ++draw)
    take(known_[rng.below(known_.size())]);
  if (all.size() < count) {
    std::vector<int32_t> rest = known_;
    rng.shuffle(rest);
    for (size_t i = 0; i < rest.size() && all.size() < count; ++i) take(rest[i]);
  }
  CHECK(all.size() == count, kInput,
        "--num-candidates: expected {} items with different titles that user {} has not chosen, "
        "found {}",
        count, dataset_.user_ids[static_cast<size_t>(row.user)], all.size());
  rng.shuffle(all);
  request.target_slot =
      static_cast<int32_t>(std::find(all.begin(), all.end(), wanted.front()) - all.begin());
}

}  // namespace etrlrec
