// What may be left out of a log before it is split; the counts after each step are kept for the
// report.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace etrlrec {

struct FilterOptions {
  std::vector<int32_t> drop_items;  // e.g. items without a title
  std::optional<float> min_rating;  // kUsage when the source has no ratings
  bool drop_repeats = false;        // an event whose item equals the user's previous one
  int32_t k_core = 0;               // every user and every item keeps at least so many events
};

struct FilterStep {
  std::string name;
  int64_t users = 0, items = 0, interactions = 0;
};

// Steps in the order of the options; dropping repeats and the k-core alternate until neither
// changes anything. Users without events go. Items without events stay in the catalogue unless
// k_core > 0 or they are in drop_items.
Dataset filter_dataset(Dataset dataset, const FilterOptions& options,
                       std::vector<FilterStep>* steps);

}  // namespace etrlrec
