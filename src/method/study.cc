#include "method/study.h"

#include "base/io.h"
#include "base/json.h"
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

void write_claim_weights(const ClaimWeights& weights, const fs::path& path) {
  write_json_atomic(path, to_json(weights));
}

ClaimWeights read_claim_weights(const fs::path& path) {
  return claim_weights_from_json(read_json(path), path.string());
}

}  // namespace etrlrec
