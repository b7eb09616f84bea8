// Candidate sets: a target and its negatives per row, drawn once and the same for every model
// (method.md G.7). They are drawn with a fixed seed and carry a hash. The target's slot is uniform.
// Negatives exclude every interaction of the user up to the target.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace etrlrec {

// The sets of method.md G.7, kTrained is U, kCatalogue U*, kPopular P and kMixedHard H; and three
// of our own. See draw_candidates. F is the whole catalogue (eval/full_ranking.h,
// eval/reranking.h).
enum class CandidateKind { kUniform, kPopular, kMixedHard, kCold, kTrained, kCatalogue, kAlive };

struct CandidateOptions {
  CandidateKind kind = CandidateKind::kUniform;
  int32_t count = 20;  // target included
  uint64_t seed = 42;
};

// Candidates of rows: items[r * count .. (r + 1) * count), target at slots[r].
struct CandidateSet {
  CandidateOptions options;
  std::string protocol;  // of the split the rows come from
  std::vector<Row> rows;
  std::vector<int32_t> items;  // [rows, count]
  std::vector<int32_t> slots;  // [rows]
  std::string hash;            // of all of the above
};

// Every row has its own random stream, named by its position: the candidates of a row do not depend
// on which other rows are drawn. No two candidates share a normalised title, and none but the
// target shares one with the user's past. Items without any interaction are drawn by kCatalogue
// alone.
//
// kUniform draws from items with an interaction anywhere in the data set, as every target has; time
// plays no part.
//
// kPopular draws with weight max(n, 1)^0.75, n = training interactions strictly before the request,
// from items alive then. An item is alive at t when its first interaction in the data set is before
// t, or when all its interactions are after the training part: cold items are drawn too, so that
// being cold does not betray the target.
//
// kMixedHard draws floor((count - 1) / 2) at random from `recommender_top` (for each row the items
// of a recommender's top 50) without the user's past and the target; the rest, and what the top
// list is short of, as kPopular.
//
// kCold draws from items without a training interaction: for rows with such a target
// (cold_targets), so that only titles and attributes can tell the target from the others.
//
// kTrained draws from items with a training interaction: a cold target stands out, as it alone of
// the candidates was never learned. kCatalogue draws from all items of the catalogue, those that
// nobody ever chose included.
//
// kAlive draws from items with an interaction strictly before the request, so that what is to come
// does not stand among the negatives of earlier rows; from what is to come only where these are
// too few.
//
// Errors (kInput) when a row has fewer than count - 1 possible negatives, or with kCold a target
// with a training interaction. `threads` (0: as many as the machine has) share the rows of kinds
// that do not follow time; the candidates do not depend on them.
CandidateSet draw_candidates(const Dataset& dataset, const Split& split, std::span<const Row> rows,
                             const CandidateOptions& options,
                             std::span<const std::vector<int32_t>> recommender_top = {},
                             int32_t threads = 0);
// How many items with different titles could be negatives of each row, counted up to `count - 1`
// only.
std::vector<int32_t> count_negatives(const Dataset& dataset, const Split& split,
                                     std::span<const Row> rows, const CandidateOptions& options);

// The rows whose target has no training interaction, in order.
std::vector<Row> cold_targets(const Dataset& dataset, const Split& split,
                              std::span<const Row> rows);

std::string candidate_hash(const CandidateSet& set);  // of everything but `hash`
const char* candidate_kind_name(CandidateKind kind);
std::vector<std::string>
candidate_kind_names();  // uniform | popular | hard | cold | trained | catalogue | alive
CandidateKind candidate_kind(const std::string& name);

// The request of row r of the set, with at most max_history most recent entries.
Request make_request(const Dataset& dataset, const CandidateSet& set, int64_t r,
                     int32_t max_history);

}  // namespace etrlrec
