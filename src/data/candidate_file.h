// Candidate files: a candidate set as JSON Lines with string ids, so that people and other programs
// can read it.
#pragma once

#include <cstdint>
#include <filesystem>

#include "data/candidates.h"

namespace etrlrec {

// JSON Lines: a header (kind, count, seed, protocol, hash, catalogue hash), then one row per line
// with string ids. Loading checks every id, the targets and both hashes. `threads` as of
// draw_candidates().
void save_candidates(const CandidateSet& set, const Dataset& dataset,
                     const std::filesystem::path& path, int32_t threads = 0);
CandidateSet load_candidates(const std::filesystem::path& path, const Dataset& dataset);

}  // namespace etrlrec
