#include "method/user_folds.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/json.h"
#include "base/rng.h"

namespace etrlrec {

bool UserFold::contains(std::string_view user_id) const {
  if (count == 0) return false;
  Rng rng(seed, fmt::format("user folds/{}", user_id));
  return rng.below(static_cast<uint64_t>(count)) == static_cast<uint64_t>(fold);
}

void check_user_fold(const UserFold& fold) {
  CHECK(fold.count == 0 || fold.count >= 2, kUsage,
        "--folds: expected at least 2 folds of users, found {}", fold.count);
  CHECK(fold.fold >= 0 && fold.fold < std::max(fold.count, 1), kUsage,
        "--leave-out-fold: expected a fold from 0 to {}, found {}", std::max(fold.count, 1) - 1,
        fold.fold);
}

void leave_out(const UserFold& fold, const Dataset& dataset, InteractionLog& log) {
  if (fold.count == 0) return;
  InteractionLog kept = log;
  kept.user_offsets = {0};
  kept.items.clear(), kept.times.clear();
  for (size_t user = 0; user + 1 < log.user_offsets.size(); ++user) {
    const int64_t begin = log.user_offsets[user], end = log.user_offsets[user + 1];
    if (!fold.contains(dataset.user_ids[user])) {
      kept.items.insert(kept.items.end(), log.items.begin() + begin, log.items.begin() + end);
      kept.times.insert(kept.times.end(), log.times.begin() + begin, log.times.begin() + end);
    }
    kept.user_offsets.push_back(std::ssize(kept.items));
  }
  log = std::move(kept);
}

void leave_out(const UserFold& fold, const Dataset& dataset, std::vector<Row>& rows) {
  std::erase_if(rows, [&](const Row& row) {
    return fold.contains(dataset.user_ids[static_cast<size_t>(row.user)]);
  });
}

void write_user_fold(const UserFold& fold, OrderedJson& inputs) {
  if (fold.count == 0) return;
  inputs["left_out"] = {{"folds", fold.count}, {"fold", fold.fold}, {"seed", fold.seed}};
}

UserFold read_user_fold(const Json& inputs, const std::string& name) {
  if (!inputs.contains("left_out")) return {};
  const Json fold = get<Json>(inputs, "left_out", name);
  const UserFold read{get<int32_t>(fold, "folds", name), get<int32_t>(fold, "fold", name),
                      get<uint64_t>(fold, "seed", name)};
  CHECK(read.count >= 2 && read.fold >= 0 && read.fold < read.count, kInput,
        "{}: left_out: expected a fold below the number of folds, found {}", name, fold.dump());
  return read;
}

}  // namespace etrlrec
