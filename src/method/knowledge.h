// What prompts show besides history and candidates: who is asked for it, about which rows, and what
// artefacts record of it. Time (temporal/moments) is known to everybody who asks at a moment; what
// a recommender says (method/pattern of candidates, method/cross_fitted_lists of the catalogue) may
// be shown only where it has not learned from the row.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "method/cross_fitted_lists.h"
#include "method/pattern.h"
#include "method/row.h"
#include "nn/numerics.h"
#include "temporal/moments.h"
#include "temporal/style.h"

namespace etrlrec {

// Keys that artefacts with knowledge have, "knowledge", "knowledge_items" and "pattern" ("named"
// where prompts name the recommender, which older versions did not), and "list_candidates" where
// prompts with answers by title name the candidates.
void write_knowledge(const PromptOptions& prompt, const std::optional<PatternRecord>& pattern,
                     nlohmann::ordered_json& json);
// Reads them into `prompt`; nothing for artefacts without them. `name`: the file, for errors.
std::optional<PatternRecord> read_knowledge(const nlohmann::json& json, const std::string& name,
                                            PromptOptions& prompt);

// Everybody who is asked for what the prompts of an artefact show.
class KnowledgeSource {
 public:
  // Any may be null; one of pattern and lists is. `items` of each list at most.
  KnowledgeSource(std::unique_ptr<const PatternSource> pattern,
                  std::unique_ptr<const CrossFittedLists> lists,
                  std::unique_ptr<const Moments> moments, int32_t items);

  std::optional<PatternRecord> record() const;  // of the recommender, where one is asked
  // Whether this row of the training part may be asked about.
  bool may_ask(const Dataset& dataset, const Row& row) const;
  // What requests show, [requests]. `whole`: with the history that a recommender may see;
  // mask_seen: of the whole catalogue without the items of it, which a list never has.
  std::vector<KnownItems> known(std::span<const Request> whole, bool mask_seen) const;
  // What these rows of the training part show; the others of the source, and those without a list,
  // show nothing. Reads no target. [rows of the source]
  std::vector<KnownItems> known_in_training(const RowSource& rows,
                                            std::span<const int64_t> asked) const;
  // Gives it to requests of the same moments.
  void fill(std::span<const Request> whole, bool mask_seen, std::span<Request> requests) const;

 private:
  std::unique_ptr<const PatternSource> pattern_;
  std::unique_ptr<const CrossFittedLists> lists_;
  std::unique_ptr<const Moments> moments_;
  int32_t items_;
};

// The source that prompts of `prompt` need, null where they need none; `folders` are the
// recommender's (--recommender): one, or for lists those of several folds of users. `protocol`: as
// CrossFittedLists has it. Errors: kUsage where a pattern is shown and no folder is given, or
// several are and it is none of lists, for lists of no items, and for lists where answers are
// numbers; kModel where `trained` names another type of recommender. `artefact`: what was made with
// these prompts, for errors.
std::unique_ptr<const KnowledgeSource> open_knowledge(
    const PromptOptions& prompt, const std::optional<PatternRecord>& trained,
    const std::vector<std::string>& folders, const std::string& protocol, const Dataset& dataset,
    const Numerics& numerics, const std::string& artefact);
// The same with one folder, empty: none, and where no row of the training part has a list.
std::unique_ptr<const KnowledgeSource> open_knowledge(const PromptOptions& prompt,
                                                      const std::optional<PatternRecord>& trained,
                                                      const std::string& folder,
                                                      const Dataset& dataset,
                                                      const Numerics& numerics,
                                                      const std::string& artefact);
// Error (kUsage) where there is a folder and prompts show no pattern.
void check_no_pattern(const PromptOptions& prompt, const std::string& folder,
                      const std::string& artefact);
void check_no_pattern(const PromptOptions& prompt, const std::vector<std::string>& folders,
                      const std::string& artefact);

// Requests of rows of a candidate file with at most max_history entries, with what they show where
// there is a source. None of these rows is one of the training part.
std::vector<Request> knowing_requests(const Dataset& dataset, const CandidateSet& set,
                                      std::span<const int64_t> rows, int32_t max_history,
                                      const KnowledgeSource* source);
// Fills the rows of a source of the training part that may be asked about; others stay without, and
// prompts that need a pattern are an error there. Returns the rows, ascending. Error (kInput) where
// there are none.
std::vector<int64_t> add_training_knowledge(const KnowledgeSource& source, RowSource& rows);

// The share of the rows with such a list whose list begins with the target: what a teacher may
// know. 0 without any.
double list_precision(const RowSource& source, std::span<const int64_t> rows,
                      std::vector<int32_t> KnownItems::*list);

}  // namespace etrlrec
