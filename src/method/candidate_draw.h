// Another candidate file for a data set, e.g. hard ones from a recommender's top list (method.md
// G.7) or cold ones.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/candidates.h"
#include "data/dataset.h"
#include "nn/numerics.h"

namespace etrlrec {

// At most `count` of the rows, drawn by the named stream, in stored order.
std::vector<Row> draw_rows(std::vector<Row> rows, int64_t count, uint64_t seed,
                           const std::string& stream);

// The rows of `set` among popular candidates, as many and by the same seed.
CandidateSet among_popular(const Dataset& dataset, const Split& split, const CandidateSet& set);

struct CandidateDrawOptions {
  std::string data, out;         // data set folder; the file to write (JSON Lines)
  std::string kind = "uniform";  // candidate_kind_names(); cold: rows with cold targets alone
  std::string recommender;       // hard: a folder of fit
  std::string part = "test";     // of the split: train | valid | test
  int32_t count = 20;            // per row, the target included
  int64_t limit = 0;             // at most so many rows, drawn by seed; 0: all
  uint64_t seed = 42;
  Numerics numerics;  // of the recommender
};

struct CandidateDraw {
  int64_t rows = 0;
  std::string hash;  // of the candidate set
};

// Errors (kUsage): a file that is there already, a recommender for another kind than hard;
// (kInput): --kind cold where no target is cold.
CandidateDraw draw_candidate_file(const CandidateDrawOptions& options);

}  // namespace etrlrec
