#include "method/ranking_service.h"

#include <algorithm>
#include <numeric>
#include <unordered_set>

#include "base/check.h"
#include "eval/protocol.h"
#include "method/fit.h"
#include "temporal/row_view.h"
#include "temporal/verifier.h"

namespace etrlrec {
namespace {

constexpr int64_t kDay = 86400;

int32_t index_of(const std::vector<std::string>& ids, const std::string& id, const char* what) {
  const auto found = std::find(ids.begin(), ids.end(), id);
  CHECK(found != ids.end(), kInput, "unknown {} \"{}\"\nhint: etrlrec inspect DATA shows examples",
        what, id);
  return static_cast<int32_t>(found - ids.begin());
}

// The `count` best items that the history does not hold; equal scores in the catalogue's order.
std::vector<int32_t> best_unseen(std::span<const float> scores, const Request& request,
                                 int32_t count) {
  const std::unordered_set<int32_t> seen(request.history.begin(), request.history.end());
  std::vector<int32_t> items(scores.size());
  std::iota(items.begin(), items.end(), 0);
  std::erase_if(items, [&](int32_t item) { return seen.contains(item); });
  const auto kept = std::min(items.size(), static_cast<size_t>(count));
  const auto score = [scores](int32_t item) { return scores[static_cast<size_t>(item)]; };
  std::partial_sort(
      items.begin(), items.begin() + static_cast<int64_t>(kept), items.end(),
      [score](int32_t a, int32_t b) { return score(a) != score(b) ? score(a) > score(b) : a < b; });
  items.resize(kept);
  return items;
}

// All items that the history does not hold, of equal titles the first one.
std::vector<int32_t> all_unseen(const Catalogue& catalogue, const Request& request) {
  const std::unordered_set<int32_t> seen(request.history.begin(), request.history.end());
  const std::vector<int32_t> canonical = canonical_items(catalogue);
  std::vector<int32_t> items;
  for (int32_t item = 0; item < static_cast<int32_t>(canonical.size()); ++item)
    if (canonical[static_cast<size_t>(item)] == item && !seen.contains(item)) items.push_back(item);
  return items;
}

}  // namespace

Ranker::Ranker(const RankerOptions& options)
    : options_(options),
      study_(open_study(options.data)),
      model_(open_model_folder(options.model, study_.catalogue_hash, options.dtype,
                               options.numerics, options.adapters)) {
  if (!options.recommender.empty())
    recommender_ =
        load_recommender_of(options.recommender, study_.dataset.catalogue, options.numerics);
}

Request Ranker::history_of(const RankingQuery& query) const {
  const Dataset& dataset = study_.dataset;
  Request request;
  if (!query.user.empty()) {
    request.user = index_of(dataset.user_ids, query.user, "user");
    const auto begin = dataset.user_offsets[static_cast<size_t>(request.user)];
    const auto end = dataset.user_offsets[static_cast<size_t>(request.user) + 1];
    request.history.assign(dataset.items.begin() + begin, dataset.items.begin() + end);
    request.times.assign(dataset.times.begin() + begin, dataset.times.begin() + end);
    request.now = request.times.empty() ? 0 : request.times.back() + kDay;
  } else {
    const int64_t last =
        dataset.times.empty() ? 0 : *std::max_element(dataset.times.begin(), dataset.times.end());
    const auto count = static_cast<int64_t>(query.history.size());
    for (int64_t j = 0; j < count; ++j) {
      const std::string& id = query.history[static_cast<size_t>(j)];
      request.history.push_back(index_of(dataset.catalogue.item_ids, id, "item"));
      request.times.push_back(last - (count - 1 - j) * kDay);
    }
    request.now = last + kDay;
  }
  CHECK(!request.history.empty(), kUsage, "no history: expected --user ID or --history ID,ID,…");
  return request;
}

std::vector<Request> Ranker::requests(std::span<const RankingQuery> queries) const {
  std::vector<Request> requests;
  std::vector<size_t> open;  // those whose candidates the recommender chooses
  for (const RankingQuery& query : queries) {
    Request request = history_of(query);
    for (const std::string& id : query.candidates)
      request.candidates.push_back(index_of(catalogue().item_ids, id, "item"));
    if (query.candidates.empty()) open.push_back(requests.size());
    requests.push_back(std::move(request));
  }
  if (open.empty()) return requests;
  if (!recommender_ && model_.card.prompt.answer == AnswerKind::kTitle) {
    for (const size_t r : open) requests[r].candidates = all_unseen(catalogue(), requests[r]);
    return requests;
  }
  CHECK(
      recommender_, kUsage,
      "no candidates: expected --recommender DIR (its best unseen items) or --candidates ID,ID,…\n"
      "hint: etrlrec fit --data {} --out runs/fit",
      options_.data.string());
  std::vector<HistoryView> views;
  for (const size_t r : open)
    views.push_back({requests[r].history, requests[r].times, requests[r].now});
  const std::lock_guard lock(computing_);
  const at::Tensor scores = recommender_->score(views).contiguous();
  const auto items = static_cast<size_t>(scores.size(1));
  for (size_t i = 0; i < open.size(); ++i)
    requests[open[i]].candidates = best_unseen({scores.const_data_ptr<float>() + i * items, items},
                                               requests[open[i]], queries[open[i]].num_candidates);
  return requests;
}

ProtocolOptions Ranker::protocol() const {
  ProtocolOptions protocol;
  protocol.prompt = model_.card.prompt;
  protocol.max_reasoning_tokens = model_.card.max_reasoning_tokens;
  return protocol;
}

MemoryEstimate Ranker::estimate(std::span<const Request> requests) const {
  const std::lock_guard lock(computing_);
  return estimate_asking(model_, catalogue(), requests, protocol());
}

void Ranker::load() {
  const std::lock_guard lock(computing_);
  load_weights_of(model_);
}

std::vector<Ranking> Ranker::rank(std::span<const Request> requests, int32_t k) const {
  std::vector<Request> asked(requests.begin(), requests.end());
  for (Request& request : asked) request.target_slot = 0;  // unknown; decides its rank alone
  Predictions predictions;
  {
    const std::lock_guard lock(computing_);
    predictions =
        ask_language_model(*model_.model, model_.prompt_encoder(catalogue()), asked, protocol());
  }
  std::vector<Ranking> rankings;
  for (size_t r = 0; r < asked.size(); ++r)
    rankings.push_back(ranking_of(asked[r], predictions.rows[r], k));
  return rankings;
}

Ranking Ranker::ranking_of(const Request& request, const Prediction& prediction, int32_t k) const {
  Ranking ranking;
  for (size_t slot = 0; slot < prediction.scores.size(); ++slot)
    ranking.items.push_back({request.candidates[slot], prediction.scores[slot]});
  std::stable_sort(ranking.items.begin(), ranking.items.end(),
                   [](const RankedItem& a, const RankedItem& b) { return a.score > b.score; });
  ranking.items.resize(std::min(ranking.items.size(), static_cast<size_t>(k)));
  ranking.reasoning = prediction.reasoning;
  ranking.valid = prediction.valid;
  const RowView view(catalogue(), &study_.statistics, request, model_.card.prompt);
  ranking.claims = judge_claims(ranking.reasoning, view.context(), {});
  return ranking;
}

}  // namespace etrlrec
