// The rows of a candidate file as every stage sees them. A RowSource is the only factory of a
// stage's views (temporal/row_view.h: request, facts, prompt, encoding); the requests of
// recommenders, which see longer histories and no text, come from here, too.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/candidates.h"
#include "method/study.h"
#include "temporal/row_view.h"

namespace etrlrec {

// The history that a recommender may see, and no more. What a language model sees is said by
// PromptOptions::max_history alone, which may be larger.
inline constexpr int32_t kRecommenderHistory = 200;

class RowSource {
 public:
  // `study` outlives the source and its views. `prompt` is how a row is shown.
  RowSource(const Study& study, CandidateSet set, const PromptOptions& prompt)
      : study_(&study), set_(std::move(set)), prompt_(prompt) {}

  const Study& study() const { return *study_; }
  const CandidateSet& set() const { return set_; }
  const PromptOptions& prompt() const { return prompt_; }
  int64_t size() const { return static_cast<int64_t>(set_.rows.size()); }
  int64_t request_time(int64_t row) const {
    return study_->dataset.times[set_.rows[static_cast<size_t>(row)].position];
  }

  // What the prompt of each row shows besides (method/knowledge.h), [rows]; empty where nobody may
  // be asked.
  void set_known(std::vector<KnownItems> known) { known_ = std::move(known); }
  void name_recommender(std::string name) { prompt_.recommender = std::move(name); }
  const KnownItems& known(int64_t row) const { return known_.at(static_cast<size_t>(row)); }

  RowView view(int64_t row) const { return view(row, prompt_); }
  RowView view(int64_t row, const PromptOptions& prompt) const;  // shown in another form
  std::vector<Request> recommender_requests(std::span<const int64_t> rows) const;

 private:
  const Study* study_;
  CandidateSet set_;
  PromptOptions prompt_;
  std::vector<KnownItems> known_;
};

// The request of a row with at most max_history entries and without candidates.
Request history_request(const Dataset& dataset, const Row& row, int32_t max_history);
// Requests of some rows with at most max_history entries.
std::vector<Request> make_requests(const Dataset& dataset, const CandidateSet& set,
                                   std::span<const int64_t> rows, int32_t max_history);

// At most `count` of `total` rows, evenly spread over all of them (0: all). For validation and
// calibration, which look at the same rows in every run.
std::vector<int64_t> spread_rows(int64_t total, int64_t count);

// `limit` of the `total` indices, drawn without replacement from the stream ("limit", seed), in
// random order; 0 or a limit beyond `total`: all of them in ascending order. A limit never takes
// the first rows: those belong to the first users of the file.
std::vector<int64_t> draw_limited(int64_t total, int64_t limit, uint64_t seed);

}  // namespace etrlrec
