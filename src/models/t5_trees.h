// Internal to models/: how T5's decoder reads a token forest. Its trees are put one after the
// other; trees without branches of one length attend together, a tree with branches attends alone
// under a mask.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <span>
#include <vector>

#include "models/t5_layers.h"
#include "nn/forest.h"

namespace etrlrec {

struct T5Trees {
  // Token of the forest at each place; empty when the places are the forest's own.
  std::vector<int64_t> order;
  std::vector<int64_t> place;    // of each token of the forest; empty as above
  std::vector<int64_t> lengths;  // tokens of each tree
  std::vector<RowRun> runs;      // for self attention; `bias` is set for trees with branches
  int64_t longest = 0;           // tree without branches
};
T5Trees plan_trees(const TokenForest& forest, const T5Stack& decoder, const T5Config& config);

}  // namespace etrlrec
