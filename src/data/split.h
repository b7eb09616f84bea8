// Splits of a data set into rows to learn from, to choose by and to report on.
//
// What a history may contain, for every row of every protocol: all earlier interactions of the same
// user in the stored order, whatever part they belong to, and nothing else; never an event of a
// later time. What may be *learned* from is narrower: interactions before Split::train_end only.
// Every row has at least one earlier interaction. All items of the catalogue may be targets and
// candidates, also those first seen after a cut.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "data/dataset.h"

namespace etrlrec {

enum class SplitKind { kLeaveOneOut, kGlobalTime, kUserRatio };
enum class TimeTarget { kAll, kFirst, kLast };

struct SplitOptions {
  SplitKind kind = SplitKind::kGlobalTime;
  // Global time: cuts at quantiles of the event times, or at given times (both or none).
  double valid_quantile = 0.8, test_quantile = 0.9;
  std::optional<int64_t> valid_time, test_time;
  TimeTarget target = TimeTarget::kAll;        // per user and part
  std::array<double, 3> ratio{0.6, 0.1, 0.3};  // user ratio: train, valid, test
  uint64_t seed = 42;                          // user ratio
};

// Last interaction of each user = test, second last = valid, the earlier ones train; users with
// fewer than three interactions train only. Other users' training events may be later than a test
// event: the caller should say so.
Split split_leave_one_out(const Dataset& dataset);

// train <= T_v, valid in (T_v, T_t], test > T_t. Histories of valid and test rows reach up to their
// target, so they may hold events after the cuts; train_end is the first event after T_v.
Split split_global_time(const Dataset& dataset, const SplitOptions& options);

// Whole users go to one part. Users of train: every interaction but the first is a row. Users of
// valid and test: one row, their last interaction, and nothing of them may be learned from.
Split split_user_ratio(const Dataset& dataset, const SplitOptions& options);

Split split_dataset(const Dataset& dataset, const SplitOptions& options);

// The time at or before which the share `quantile` of all events lies.
int64_t time_quantile(const Dataset& dataset, double quantile);

SplitKind split_kind(const std::string& name);    // leave-one-out | global-time | user-ratio
TimeTarget time_target(const std::string& name);  // last | first | all

}  // namespace etrlrec
