// Stage 0: a log with its catalogue, or the synthetic world, becomes a data set folder: read,
// filtered, split, with candidate files. Says in the log what it understood.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "data/candidates.h"
#include "data/filters.h"
#include "data/readers.h"
#include "data/split.h"
#include "data/synthetic.h"

namespace etrlrec {

// Which rows of one part of the split get candidates.
struct PartOptions {
  static constexpr int64_t kAll = -1;
  int64_t rows = kAll;      // at most so many, drawn by seed; 0: none
  int32_t min_history = 1;  // earlier interactions of the user
  // How their negatives are drawn; nothing: as PrepareOptions::candidates says.
  std::optional<CandidateKind> kind = {};
};

struct PrepareOptions {
  std::string out;                    // data set folder
  std::filesystem::path input;        // file or folder of the log; unused with a world
  ReaderOptions reader;               // of the log
  std::optional<WorldOptions> world;  // instead of a log
  FilterOptions filters;
  bool drop_untitled = false;  // items without a title leave the data set
  bool allow_rejects = false;  // more than 20 % of the rows may be unusable
  SplitOptions split;
  CandidateOptions candidates;
  PartOptions train{200000, 3}, valid, test;
};

struct PrepareSummary {
  // "log" and "items": the files that were read.
  std::map<std::string, std::filesystem::path> inputs;
  int64_t users = 0, items = 0, interactions = 0;
  int64_t train_rows = 0, valid_rows = 0, test_rows = 0;
  std::string protocol;  // of the split
};

// Fills `folder`, which exists and is empty, with the data set, its split, candidates-PART.jsonl of
// every part that has rows, prepare.json (`report` returns it, too), world.json of a world and
// rejected.tsv of a log with rows that cannot be used. A row with fewer possible negatives than
// candidates gets none; how many there are is said. Errors (kInput): more than 20 % of the rows of
// a file cannot be used, unless allowed; (kUsage): a split by time of a log without times.
PrepareSummary prepare(const PrepareOptions& options, const std::filesystem::path& folder,
                       nlohmann::ordered_json* report = nullptr);

}  // namespace etrlrec
