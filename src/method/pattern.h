// What a conventional recommender says about a request: the knowledge "pattern" (method/knowledge).
// The recommender sees the history before the request and nothing else. It is cross-fitted in time:
// for a row of the training part only one may be asked that was fitted on earlier interactions (fit
// --train-share), or else it would know the answer by heart; for validation and test rows any one
// of the training part.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "models/recommender.h"
#include "nn/numerics.h"

namespace etrlrec {

// Which recommender's patterns an artefact was made with (construct.json, etrlrec.json).
struct PatternRecord {
  std::string recommender;  // its type, e.g. "sasrec"
  std::string fit_hash;     // SHA-256 of inputs.json, everything that decides a fitted model
  bool operator==(const PatternRecord&) const = default;
};

class PatternSource {
 public:
  // The recommender of a folder of fit; error (kModel) for one of another catalogue. Patterns have
  // at most `items` items.
  PatternSource(const std::filesystem::path& folder, const Dataset& dataset,
                const Numerics& numerics, int32_t items);

  const PatternRecord& record() const { return record_; }
  // Rows of the training part up to this time may not be asked about.
  int64_t trained_until() const { return trained_until_; }

  // Of each request the best of its candidates, or where it has none of the whole catalogue, with
  // `mask_seen` without the items of its history. Equal scores in the catalogue's order. Requests
  // have the history that a recommender may see (kRecommenderHistory); target_slot is not read.
  // `items`: at most so many instead of the source's own.
  std::vector<std::vector<int32_t>> patterns(std::span<const Request> requests,
                                             bool mask_seen = false,
                                             std::optional<int64_t> items = {}) const;

 private:
  std::unique_ptr<const Recommender> recommender_;
  PatternRecord record_;
  int64_t trained_until_ = 0;
  int32_t items_;
};

}  // namespace etrlrec
