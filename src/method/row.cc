#include "method/row.h"

#include <numeric>

#include "base/rng.h"
#include "data/candidates.h"
#include "data/histories.h"

namespace etrlrec {

RowView RowSource::view(int64_t row, const PromptOptions& prompt) const {
  Request request = make_request(study_->dataset, set_, row, prompt.max_history);
  if (!known_.empty()) request.known = known(row);
  return {study_->dataset.catalogue, &study_->statistics, request, prompt};
}

std::vector<Request> RowSource::recommender_requests(std::span<const int64_t> rows) const {
  return make_requests(study_->dataset, set_, rows, kRecommenderHistory);
}

Request history_request(const Dataset& dataset, const Row& row, int32_t max_history) {
  Request request = request_after(dataset, row.user, row.position, max_history);
  request.now = dataset.times[static_cast<size_t>(row.position)];
  return request;
}

std::vector<Request> make_requests(const Dataset& dataset, const CandidateSet& set,
                                   std::span<const int64_t> rows, int32_t max_history) {
  std::vector<Request> requests;
  requests.reserve(rows.size());
  for (const int64_t row : rows) requests.push_back(make_request(dataset, set, row, max_history));
  return requests;
}

std::vector<int64_t> spread_rows(int64_t total, int64_t count) {
  if (count <= 0 || count > total) count = total;
  std::vector<int64_t> rows;
  for (int64_t i = 0; i < count; ++i) rows.push_back(i * total / count);
  return rows;
}

std::vector<int64_t> draw_limited(int64_t total, int64_t limit, uint64_t seed) {
  std::vector<int64_t> indices(static_cast<size_t>(total));
  std::iota(indices.begin(), indices.end(), 0);
  if (limit <= 0 || limit >= total) return indices;
  Rng rng(seed, "limit");
  rng.shuffle(indices);
  indices.resize(static_cast<size_t>(limit));
  return indices;
}

}  // namespace etrlrec
