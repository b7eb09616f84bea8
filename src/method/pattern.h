// Knowledge "pattern": what a conventional recommender says about a request, as part of the prompt
// (temporal/compact_style). The recommender sees the history before the request and nothing else.
// It is cross-fitted in time: for a row of the training part only one may be asked that was fitted
// on earlier interactions (fit --train-share), or else it would know the answer by heart; for
// validation and test rows any one of the training part.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "method/row.h"
#include "models/recommender.h"
#include "nn/numerics.h"
#include "temporal/style.h"

namespace etrlrec {

// Which recommender's patterns an artefact was made with (construct.json, etrlrec.json).
struct PatternRecord {
  std::string recommender;  // its type, e.g. "sasrec"
  std::string fit_hash;     // SHA-256 of inputs.json, everything that decides a fitted model
  bool operator==(const PatternRecord&) const = default;
};

// Keys that artefacts with knowledge have, "knowledge", "pattern_items" and "pattern"; adds none
// where there is none.
void write_knowledge(const PromptOptions& prompt, const std::optional<PatternRecord>& pattern,
                     nlohmann::ordered_json& json);
// Reads them into `prompt`; nothing for artefacts without knowledge. `name`: the file, for errors.
std::optional<PatternRecord> read_knowledge(const nlohmann::json& json, const std::string& name,
                                            PromptOptions& prompt);

class PatternSource {
 public:
  // The recommender of a folder of fit; error (kModel) for one of another catalogue. Patterns have
  // at most `items` items.
  PatternSource(const std::filesystem::path& folder, const Catalogue& catalogue,
                const Numerics& numerics, int32_t items);

  const PatternRecord& record() const { return record_; }
  // Rows of the training part up to this time may not be asked about.
  int64_t trained_until() const { return trained_until_; }

  // Of each request the best of its candidates, or where it has none of the whole catalogue, with
  // `mask_seen` without the items of its history. Equal scores in the catalogue's order. Requests
  // have the history that a recommender may see (kRecommenderHistory); target_slot is not read.
  std::vector<std::vector<int32_t>> patterns(std::span<const Request> requests,
                                             bool mask_seen = false) const;

 private:
  std::unique_ptr<const Recommender> recommender_;
  PatternRecord record_;
  int64_t trained_until_ = 0;
  int32_t items_;
};

// The source that prompts of `prompt` need from `folder` (--recommender), null where they need
// none. Errors: kUsage where knowledge is pattern and no folder is given; kModel where `trained`
// names another type of recommender. `artefact`: what was made with these prompts, for errors.
std::unique_ptr<const PatternSource> open_pattern(const PromptOptions& prompt,
                                                  const std::optional<PatternRecord>& trained,
                                                  const std::string& folder,
                                                  const Catalogue& catalogue,
                                                  const Numerics& numerics,
                                                  const std::string& artefact);
// Error (kUsage) where a folder is given and prompts need none.
void check_no_pattern(const PromptOptions& prompt, const std::string& folder,
                      const std::string& artefact);

// Requests of rows of a candidate file with at most max_history entries, with their patterns where
// there is a source. None of these rows is one of the training part.
std::vector<Request> pattern_requests(const Dataset& dataset, const CandidateSet& set,
                                      std::span<const int64_t> rows, int32_t max_history,
                                      const PatternSource* source);
// Gives each request its pattern; `whole` are the same requests with longer histories.
void add_patterns(const PatternSource& source, std::span<const Request> whole, bool mask_seen,
                  std::span<Request> requests);
// Patterns for the rows of a source of the training part that may have one; others stay without,
// and their prompts are an error. Returns the rows, ascending.
std::vector<int64_t> add_training_patterns(const PatternSource& source, RowSource& rows);
// The share of the rows whose pattern begins with the target: what a teacher may know.
double pattern_precision(const RowSource& source, std::span<const int64_t> rows);

}  // namespace etrlrec
