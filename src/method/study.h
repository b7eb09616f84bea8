// A prepared data set as every stage sees it: interactions, split, training statistics, the rows of
// its candidate files as requests, and which training rows belong to distillation.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "data/candidates.h"
#include "data/dataset.h"
#include "temporal/claim_weights.h"
#include "temporal/claims.h"
#include "temporal/facts.h"
#include "temporal/statistics.h"

namespace etrlrec {

struct Study {
  std::filesystem::path folder;
  Dataset dataset;
  TemporalStatistics statistics;
  std::string catalogue_hash;

  // `part`: train | valid | test, from FOLDER/candidates-<part>.jsonl.
  CandidateSet candidates(const std::string& part) const;
};
Study open_study(const std::filesystem::path& folder);
std::vector<Request> make_requests(const Study& study, const CandidateSet& set,
                                   std::span<const int64_t> rows, int32_t max_history);
// At most `count` of `total` rows, evenly spread (0: all).
std::vector<int64_t> spread_rows(int64_t total, int64_t count);
// A training row belongs to distillation or to reinforcement, never to both.
bool is_distillation_row(uint64_t seed, int64_t row, double share);

void write_claim_weights(const ClaimWeights& weights, const std::filesystem::path& path);
ClaimWeights read_claim_weights(const std::filesystem::path& path);

}  // namespace etrlrec
