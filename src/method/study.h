// A prepared data set as every stage sees it: interactions, split, training statistics, the rows of
// its candidate files, and claim weights on disk.
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

void write_claim_weights(const ClaimWeights& weights, const std::filesystem::path& path);
ClaimWeights read_claim_weights(const std::filesystem::path& path);

}  // namespace etrlrec
