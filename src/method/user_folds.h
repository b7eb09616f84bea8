// Folds of users for cross-fitting (method.md B.9): a recommender that is fitted without the users
// of one fold says about them what it would say about strangers, not what it has learned of them by
// heart.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "data/dataset.h"
#include "models/recommender.h"

namespace etrlrec {

// Users whose id falls into `fold` of `count` by a hash of (seed, id), whatever the data set's
// order; of a count of 0 none.
struct UserFold {
  int32_t count = 0, fold = 0;
  uint64_t seed = 42;

  bool contains(std::string_view user_id) const;
  bool operator==(const UserFold&) const = default;
};
// Error (kUsage): a count of 1 or below 0, a fold outside of [0, count).
void check_user_fold(const UserFold& fold);

// Takes the events, or the rows, of the fold's users away; the log keeps its users, without events.
void leave_out(const UserFold& fold, const Dataset& dataset, InteractionLog& log);
void leave_out(const UserFold& fold, const Dataset& dataset, std::vector<Row>& rows);

// The key "left_out" of a recommender's inputs.json; nothing without a fold.
void write_user_fold(const UserFold& fold, nlohmann::ordered_json& inputs);
UserFold read_user_fold(const nlohmann::json& inputs, const std::string& name);

}  // namespace etrlrec
