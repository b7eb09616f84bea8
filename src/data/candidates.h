// Candidate sets (method.md G.7): target plus negatives, drawn once with a fixed seed and stored with a hash, the same
// for every model. The target's slot is uniform. Negatives exclude every interaction of the user up to the target.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace etrlrec {

enum class CandidateKind { kUniform, kPopular, kMixedHard };  // uniform-N · popularity^0.75 alive at the request · H

struct CandidateOptions {
  CandidateKind kind = CandidateKind::kUniform;
  int32_t count = 20;                           // target included
  uint64_t seed = 42;
};

// Candidates of rows: items[r * count .. (r + 1) * count), target at slots[r].
struct CandidateSet {
  CandidateOptions options;
  std::vector<Row> rows;
  std::vector<int32_t> items;                   // [rows, count]
  std::vector<int32_t> slots;                   // [rows]
  std::string hash;                             // of all of the above
};

// `recommender_top` (only kMixedHard): for each row the items of a recommender's top 50, best first.
// An item is alive at t when its first interaction in the data set is before t or it never had one in the log's
// training part but is in the catalogue; draws use training popularity strictly before the request.
// Errors (kInput) when a row has fewer than count - 1 possible negatives.
CandidateSet draw_candidates(const Dataset& dataset, const Split& split, std::span<const Row> rows,
                             const CandidateOptions& options,
                             std::span<const std::vector<int32_t>> recommender_top = {});
void save_candidates(const CandidateSet& set, const Dataset& dataset, const std::filesystem::path& path);
CandidateSet load_candidates(const std::filesystem::path& path, const Dataset& dataset);

// The request of row r of the set, with at most max_history most recent entries.
Request make_request(const Dataset& dataset, const CandidateSet& set, int64_t r, int32_t max_history);

}  // namespace etrlrec
