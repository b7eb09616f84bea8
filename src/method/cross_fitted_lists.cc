#include "method/cross_fitted_lists.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "base/check.h"
#include "base/json.h"
#include "base/log.h"
#include "base/sha256.h"
#include "data/candidates.h"
#include "method/row.h"

namespace etrlrec {
namespace {

constexpr int32_t kAskedPerItem = 2;  // some share their title with what was seen

constexpr size_t kAskedTogether = 256;  // rows whose answers are held at once

UserFold fold_of_folder(const std::filesystem::path& folder, const std::string& protocol) {
  const std::filesystem::path path = folder / "inputs.json";
  const Json inputs = read_json(path);
  const auto fitted = get<std::string>(inputs, "protocol", path.string());
  CHECK(protocol.empty() || fitted == protocol, kModel,
        "{}: fitted on the split {}, but the rows are of {}\nhint: fit it on this data set",
        folder.string(), fitted, protocol);
  return read_user_fold(inputs, path.string());
}

}  // namespace

CrossFittedLists::CrossFittedLists(const std::vector<std::string>& folders, const Dataset& dataset,
                                   const std::string& protocol, const Numerics& numerics,
                                   int32_t items)
    : dataset_(dataset), items_(items), canonical_(canonical_items(dataset.catalogue)) {
  CHECK(!folders.empty(), kUsage,
        "--recommender: expected a recommender whose lists are shown, found none\n"
        "hint: folders of fit --folds 2 --leave-out-fold 0 and 1, or one of fit --train-share 0.5");
  CHECK(items >= 2, kUsage, "--knowledge-items, --list-items: expected at least 2, found {}",
        items);
  for (const std::string& folder : folders) {
    Source source{{folder, dataset, numerics, kAskedPerItem * items}, {}};
    source.left_out = fold_of_folder(folder, protocol);
    const UserFold& fold = source.left_out;
    CHECK(folders.size() == 1 || fold.count > 0, kModel,
          "{}: expected one that was fitted without a fold of users, as there are several\n"
          "hint: fit --folds {} --leave-out-fold 0",
          folder, folders.size());
    for (const Source& other : sources_) {
      CHECK(other.pattern.record().recommender == source.pattern.record().recommender, kModel,
            "{}: expected a {}, as the first one, found a {}", folder, recommender(),
            source.pattern.record().recommender);
      CHECK(other.left_out.count == fold.count && other.left_out.seed == fold.seed, kModel,
            "{}: leaves out one of {} folds with seed {}, the first one of {} with seed {}", folder,
            fold.count, fold.seed, other.left_out.count, other.left_out.seed);
      CHECK(other.left_out.fold != fold.fold, kModel, "{}: leaves out fold {}, as another one does",
            folder, fold.fold);
    }
    sources_.push_back(std::move(source));
  }
  const int32_t folds = sources_.front().left_out.count;
  if (std::ssize(sources_) < folds)
    log_warning("{} of {} folds given: rows of the others are left out", sources_.size(), folds);
}

std::vector<CrossFittedLists::Record> CrossFittedLists::records() const {
  std::vector<Record> records;
  for (const Source& source : sources_)
    records.push_back({source.pattern.record(), source.left_out});
  return records;
}

PatternRecord CrossFittedLists::record() const {
  PatternRecord record = sources_.front().pattern.record();
  if (sources_.size() == 1) return record;
  std::map<int32_t, std::string> by_fold;  // whatever the order in which they were given
  for (const Source& source : sources_)
    by_fold[source.left_out.fold] = source.pattern.record().fit_hash;
  std::string all;
  for (const auto& [fold, hash] : by_fold) all += hash;
  record.fit_hash = sha256_hex(all);
  return record;
}

bool CrossFittedLists::may_ask(const Row& row) const {
  return std::any_of(sources_.begin(), sources_.end(),
                     [&](const Source& source) { return may_ask(source, row); });
}

bool CrossFittedLists::may_ask(const Source& source, const Row& row) const {
  if (source.left_out.count > 0)
    return source.left_out.contains(dataset_.user_ids[static_cast<size_t>(row.user)]);
  return dataset_.times[static_cast<size_t>(row.position)] > source.pattern.trained_until();
}

std::vector<std::vector<int32_t>> CrossFittedLists::lists(std::span<const Row> rows) const {
  std::vector<std::vector<int32_t>> lists(rows.size());
  size_t asked = 0, short_of_items = 0;
  for (const Source& source : sources_) {
    std::vector<size_t> places;
    for (size_t r = 0; r < rows.size(); ++r)
      if (may_ask(source, rows[r])) places.push_back(r);
    asked += places.size();
    // Only the latest items are masked: of a long history earlier ones may fill the first answer.
    const auto again = ask(source, rows, places, int64_t{kAskedPerItem} * items_, lists);
    short_of_items += ask(source, rows, again, std::ssize(canonical_), lists).size();
  }
  if (asked < rows.size() || short_of_items > 0)
    log_info(
        "lists: none for {} of {} rows, of which no recommender may be asked, and for {} with "
        "fewer than {} unseen titles",
        rows.size() - asked, rows.size(), short_of_items, items_);
  return lists;
}

std::vector<size_t> CrossFittedLists::ask(const Source& source, std::span<const Row> rows,
                                          std::span<const size_t> places, int64_t asked,
                                          std::vector<std::vector<int32_t>>& lists) const {
  std::vector<size_t> too_few;
  for (size_t begin = 0; begin < places.size(); begin += kAskedTogether) {
    const auto batch = places.subspan(begin, std::min(kAskedTogether, places.size() - begin));
    std::vector<Request> requests;
    for (const size_t place : batch)
      requests.push_back(history_request(dataset_, rows[place], kRecommenderHistory));
    const auto found = source.pattern.patterns(requests, true, asked);
    for (size_t i = 0; i < batch.size(); ++i) {
      const Row& row = rows[batch[i]];
      const auto begin = static_cast<size_t>(dataset_.user_offsets[static_cast<size_t>(row.user)]);
      const auto seen = static_cast<size_t>(row.position) - begin;
      std::vector<int32_t>& list = lists[batch[i]];
      list = unseen_titles(std::span(dataset_.items).subspan(begin, seen), found[i]);
      if (std::ssize(list) == items_) continue;
      list.clear();
      too_few.push_back(batch[i]);
    }
  }
  return too_few;
}

std::vector<std::vector<int32_t>> CrossFittedLists::lists(std::span<const Request> requests) const {
  std::vector<std::vector<int32_t>> lists(requests.size());
  for (const Source& source : sources_) {
    std::vector<size_t> places;
    std::vector<Request> open;
    for (size_t r = 0; r < requests.size(); ++r) {
      if (source_of(requests[r].user) != &source) continue;
      places.push_back(r);
      Request& request = open.emplace_back(requests[r]);
      request.candidates.clear();  // the whole catalogue
      request.target_slot = -1;
    }
    const auto found = source.pattern.patterns(open, true, int64_t{kAskedPerItem} * items_);
    for (size_t i = 0; i < places.size(); ++i)
      lists[places[i]] = unseen_titles(open[i].history, found[i]);
  }
  return lists;
}

const CrossFittedLists::Source* CrossFittedLists::source_of(int32_t user) const {
  if (user >= 0)
    for (const Source& source : sources_)
      if (source.left_out.contains(dataset_.user_ids[static_cast<size_t>(user)])) return &source;
  return &sources_.front();
}

std::vector<int32_t> CrossFittedLists::unseen_titles(std::span<const int32_t> seen,
                                                     std::span<const int32_t> list) const {
  std::set<int32_t> titles;
  for (const int32_t item : seen) titles.insert(canonical_[static_cast<size_t>(item)]);
  std::vector<int32_t> kept;
  for (const int32_t item : list) {
    if (std::ssize(kept) == items_) break;
    if (titles.insert(canonical_[static_cast<size_t>(item)]).second) kept.push_back(item);
  }
  return kept;
}

}  // namespace etrlrec
