#include "method/study.h"

#include "base/io.h"
#include "base/json.h"
#include "base/rng.h"
#include "data/candidate_file.h"
#include "temporal/claim_weights.h"
#include "temporal/statistics.h"

namespace etrlrec {

Study open_study(const fs::path& folder) {
  Study study;
  study.folder = folder;
  study.dataset = load_dataset(folder);
  study.statistics = count_statistics(study.dataset, load_split(folder));
  study.catalogue_hash = catalogue_hash(study.dataset.catalogue);
  return study;
}

CandidateSet Study::candidates(const std::string& part) const {
  return load_candidates(folder / ("candidates-" + part + ".jsonl"), dataset);
}

std::vector<Request> make_requests(const Study& study, const CandidateSet& set,
                                   std::span<const int64_t> rows, int32_t max_history) {
  std::vector<Request> requests;
  requests.reserve(rows.size());
  for (const int64_t row : rows)
    requests.push_back(make_request(study.dataset, set, row, max_history));
  return requests;
}

std::vector<int64_t> spread_rows(int64_t total, int64_t count) {
  if (count <= 0 || count > total) count = total;
  std::vector<int64_t> rows;
  for (int64_t i = 0; i < count; ++i) rows.push_back(i * total / count);
  return rows;
}

bool is_distillation_row(uint64_t seed, int64_t row, double share) {
  return Rng(seed, "distillation rows", static_cast<uint64_t>(row)).uniform() < share;
}

void write_claim_weights(const ClaimWeights& weights, const fs::path& path) {
  write_json_atomic(path, to_json(weights));
}

ClaimWeights read_claim_weights(const fs::path& path) {
  return claim_weights_from_json(read_json(path), path.string());
}

}  // namespace etrlrec
