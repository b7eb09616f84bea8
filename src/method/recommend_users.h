// The best items of many users as a table, for programs that serve or judge them. What is done
// stands in a part file next to the table, so that the repeated command goes on where it was
// interrupted.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "method/ranking_service.h"

namespace etrlrec {

struct RecommendUsersOptions {
  RankerOptions ranker;
  std::filesystem::path users;  // a file of user ids, one a line; empty: all users of the data set
  std::filesystem::path out;    // .csv, .jsonl or .parquet
  int32_t k = 5;                // items of each user
  int32_t num_candidates = 20;  // taken from a recommender for a language model to rank
};

struct RecommendUsersSummary {
  int64_t users = 0;      // in the table
  int64_t users_now = 0;  // ranked by this call; the others were there
  double seconds = 0;     // of these

  double users_per_second() const;
};
nlohmann::ordered_json to_json(const RecommendUsersSummary& summary,
                               const std::filesystem::path& out);

// Writes OUT with the columns user_id, rank (from 1), item_id, title and score (RankedItem), users
// in the order of the data set or of the file, and OUT.run.json, which says what the table was made
// from. On the way OUT.part.jsonl has a line for each finished user. Where OUT is there from the
// same inputs nothing is done. Errors: kUsage for another ending, for an OUT or a part file from
// other inputs; kInput for an unknown user or one that is named twice.
RecommendUsersSummary recommend_users(const RecommendUsersOptions& options);

}  // namespace etrlrec
