// Each protocol fixes train_end first; the rows follow from it.
#include "data/split.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "base/rng.h"

namespace etrlrec {
namespace {

// Training rows: every interaction of the training part but the first of its user.
void add_train_rows(const Dataset& dataset, Split& split) {
  int64_t rows = 0;
  for (int64_t u = 0; u < dataset.num_users(); ++u)
    rows += std::max<int64_t>(split.train_end[u] - dataset.user_offsets[u] - 1, 0);
  split.train.reserve(static_cast<size_t>(rows));
  for (int64_t u = 0; u < dataset.num_users(); ++u) {
    for (int64_t p = dataset.user_offsets[u] + 1; p < split.train_end[u]; ++p) {
      split.train.push_back({static_cast<int32_t>(u), p});
    }
  }
}

// Rows of one user in [begin, end) as `target` says; the user's first interaction is never one.
void add_time_rows(const Dataset& dataset, int64_t user, int64_t begin, int64_t end,
                   TimeTarget target, std::vector<Row>& rows) {
  begin = std::max(begin, dataset.user_offsets[user] + 1);
  if (begin >= end) return;
  if (target == TimeTarget::kFirst) end = begin + 1;
  if (target == TimeTarget::kLast) begin = end - 1;
  for (int64_t p = begin; p < end; ++p) rows.push_back({static_cast<int32_t>(user), p});
}

std::string target_suffix(TimeTarget target) {
  switch (target) {
    case TimeTarget::kAll:
      return "";
    case TimeTarget::kFirst:
      return ",first";
    case TimeTarget::kLast:
      return ",last";
  }
  return "";
}

}  // namespace

Split split_leave_one_out(const Dataset& dataset) {
  Split split;
  split.protocol = "leave_one_out";
  for (int64_t u = 0; u < dataset.num_users(); ++u) {
    const int64_t begin = dataset.user_offsets[u], end = dataset.user_offsets[u + 1];
    const bool held_out = end - begin >= 3;
    split.train_end.push_back(held_out ? end - 2 : end);
    if (!held_out) continue;
    split.valid.push_back({static_cast<int32_t>(u), end - 2});
    split.test.push_back({static_cast<int32_t>(u), end - 1});
  }
  add_train_rows(dataset, split);
  return split;
}

Split split_global_time(const Dataset& dataset, const SplitOptions& options) {
  CHECK(options.valid_time.has_value() == options.test_time.has_value(), kUsage,
        "--valid and --test: expected two times or two quantiles, found one of each");
  const bool by_time = options.valid_time.has_value();
  const int64_t valid_time =
      by_time ? *options.valid_time : time_quantile(dataset, options.valid_quantile);
  const int64_t test_time =
      by_time ? *options.test_time : time_quantile(dataset, options.test_quantile);
  CHECK(valid_time <= test_time, kUsage,
        "--valid and --test: expected ascending cuts, found {} and {}", valid_time, test_time);
  Split split;
  split.protocol = by_time ? fmt::format("global_time(t={},t={}{})", valid_time, test_time,
                                         target_suffix(options.target))
                           : fmt::format("global_time({},{}{})", options.valid_quantile,
                                         options.test_quantile, target_suffix(options.target));
  for (int64_t u = 0; u < dataset.num_users(); ++u) {
    const auto begin = dataset.times.begin() + dataset.user_offsets[u];
    const auto end = dataset.times.begin() + dataset.user_offsets[u + 1];
    const int64_t valid_begin = std::upper_bound(begin, end, valid_time) - dataset.times.begin();
    const int64_t test_begin = std::upper_bound(begin, end, test_time) - dataset.times.begin();
    split.train_end.push_back(valid_begin);
    add_time_rows(dataset, u, valid_begin, test_begin, options.target, split.valid);
    add_time_rows(dataset, u, test_begin, dataset.user_offsets[u + 1], options.target, split.test);
  }
  add_train_rows(dataset, split);
  return split;
}

Split split_user_ratio(const Dataset& dataset, const SplitOptions& options) {
  const auto& ratio = options.ratio;
  const double sum = ratio[0] + ratio[1] + ratio[2];
  CHECK(std::all_of(ratio.begin(), ratio.end(), [](double r) { return r >= 0; }) && ratio[0] > 0 &&
            std::abs(sum - 1) < 1e-6,
        kUsage, "--ratio: expected three shares that sum to 1, found {},{},{}", ratio[0], ratio[1],
        ratio[2]);
  std::vector<int64_t> users(dataset.user_ids.size());
  std::iota(users.begin(), users.end(), int64_t{0});
  Rng rng(options.seed, "split/user_ratio");
  rng.shuffle(users);
  const auto count = static_cast<double>(users.size());
  const int64_t train_users = std::llround(ratio[0] * count);
  const int64_t valid_end = std::llround((ratio[0] + ratio[1]) * count);

  Split split;
  split.protocol =
      fmt::format("user_ratio({},{},{},seed={})", ratio[0], ratio[1], ratio[2], options.seed);
  split.train_end.assign(dataset.user_offsets.begin(), dataset.user_offsets.end() - 1);
  std::vector<int8_t> part(users.size(), 2);
  for (int64_t k = 0; k < valid_end; ++k) part[users[k]] = k < train_users ? 0 : 1;
  for (int64_t u = 0; u < dataset.num_users(); ++u) {
    const int64_t end = dataset.user_offsets[u + 1];
    if (part[u] == 0) {
      split.train_end[u] = end;
    } else {
      auto& rows = part[u] == 1 ? split.valid : split.test;
      add_time_rows(dataset, u, dataset.user_offsets[u], end, TimeTarget::kLast, rows);
    }
  }
  add_train_rows(dataset, split);
  return split;
}

Split split_dataset(const Dataset& dataset, const SplitOptions& options) {
  switch (options.kind) {
    case SplitKind::kLeaveOneOut:
      return split_leave_one_out(dataset);
    case SplitKind::kGlobalTime:
      return split_global_time(dataset, options);
    case SplitKind::kUserRatio:
      return split_user_ratio(dataset, options);
  }
  return {};
}

int64_t time_quantile(const Dataset& dataset, double quantile) {
  CHECK(quantile > 0 && quantile <= 1, kUsage,
        "time quantile: expected a number above 0 and at most 1, found {}", quantile);
  CHECK(!dataset.times.empty(), kInput, "time quantile: the data set has no interactions");
  std::vector<int64_t> times = dataset.times;
  const double rank = std::ceil(quantile * static_cast<double>(times.size()));
  const auto k = static_cast<int64_t>(std::max(rank - 1, 0.0));
  std::nth_element(times.begin(), times.begin() + k, times.end());
  return times[k];
}

SplitKind split_kind(const std::string& name) {
  if (name == "leave-one-out") return SplitKind::kLeaveOneOut;
  if (name == "global-time") return SplitKind::kGlobalTime;
  if (name == "user-ratio") return SplitKind::kUserRatio;
  fail(ExitCode::kUsage, "unknown split \"{}\"; known: leave-one-out, global-time, user-ratio",
       name);
}

TimeTarget time_target(const std::string& name) {
  if (name == "all") return TimeTarget::kAll;
  if (name == "first") return TimeTarget::kFirst;
  if (name == "last") return TimeTarget::kLast;
  fail(ExitCode::kUsage, "unknown target \"{}\"; known: last, first, all", name);
}

}  // namespace etrlrec
