// Words for options of prepare, as a command line or a form gives them, and what they mean.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/synthetic.h"
#include "method/prepare.h"

namespace etrlrec {

struct PrepareWords {
  PrepareOptions prepare;  // what needs no words
  std::string input, format = "auto";
  std::vector<std::string> map;                   // "role=column" of the log
  std::string delimiter;                          // one character, "::" or "tab"; empty: found out
  std::string header = "auto", quoting = "auto";  // auto | on | off
  // The same of the catalogue.
  std::string items_delimiter, items_header = "auto", items_quoting = "auto";
  std::string time = "column";  // column | order
  WorldOptions world;           // of the format "synthetic"
  std::optional<double> min_rating;
  // `valid` and `test` are quantiles in (0, 1] or dates.
  std::string split = "global-time", valid = "0.8", test = "0.9", target = "all";
  std::vector<double> ratio = {0.6, 0.1, 0.3};          // shares of train, valid and test users
  std::string candidates = "uniform", train_negatives;  // empty: as candidates
  int32_t min_test_history = 1;
};

// The options of these words; `seed` is that of world, split and candidates. Errors (kUsage) name
// the option: a pair of the map without "=", a cut that is neither a quantile nor a date, another
// number of shares than three, an unknown name.
PrepareOptions prepare_options(const PrepareWords& words, uint64_t seed);

}  // namespace etrlrec
