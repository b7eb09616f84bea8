#include "method/ranking_service.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_set>

#include "base/check.h"
#include "base/io.h"
#include "data/calendar.h"
#include "eval/protocol.h"
#include "method/fit.h"
#include "method/unread_items.h"
#include "models/model_files.h"
#include "temporal/row_view.h"
#include "temporal/verifier.h"

namespace etrlrec {
namespace {

constexpr int64_t kNextDay = kSecondsPerDay;

int32_t index_of(const std::vector<std::string>& ids, const std::string& id, const char* what) {
  const auto found = std::find(ids.begin(), ids.end(), id);
  CHECK(found != ids.end(), kInput, "unknown {} \"{}\"\nhint: etrlrec inspect DATA shows examples",
        what, id);
  return static_cast<int32_t>(found - ids.begin());
}

// The candidates by their scores.
Ranking best_of(const Request& request, std::span<const float> scores) {
  Ranking ranking;
  for (size_t slot = 0; slot < scores.size(); ++slot)
    ranking.items.push_back({request.candidates[slot], scores[slot]});
  std::stable_sort(ranking.items.begin(), ranking.items.end(),
                   [](const RankedItem& a, const RankedItem& b) { return a.score > b.score; });
  return ranking;
}

}  // namespace

Ranker::Ranker(const RankerOptions& options) : options_(options), study_(open_study(options.data)) {
  CHECK(has_language_model() || !options.recommender.empty(), kUsage,
        "nothing ranks: expected --model DIR, --recommender DIR or both");
  if (has_language_model()) {
    CHECK(is_language_model_folder(options.model) || !fs::exists(options.model / "config.json"),
          kUsage,
          "{}: is no language model\nhint: a recommender of `etrlrec fit` is given by "
          "--recommender, also alone",
          options.model.string());
    model_ = open_model_folder(options.model, study_.catalogue_hash, options.dtype,
                               options.numerics, options.adapters);
    asked_ = distinct_titles(catalogue()).items;
    new_items_ = unread_items(model_.card, study_.dataset, options.data);
    if (options.trend && model_.card.trend) {
      TrendOptions trend = *model_.card.trend;
      trend.temperature = 1;  // it was fitted among candidates
      trend_.emplace(study_.dataset, learned_events(study_.dataset, load_split(options.data)),
                     trend);
    }
  } else {
    asked_.resize(static_cast<size_t>(catalogue().num_items()));
    std::iota(asked_.begin(), asked_.end(), 0);
  }
  CHECK(options.beam == 0 || has_language_model(), kUsage,
        "--beam: expected a language model that answers by title, found a recommender alone");
  if (options.beam > 0) check_answers_by_title(model_);
  if (!options.recommender.empty())
    recommender_ = load_recommender_of(options.recommender, study_.dataset, options.numerics);
  knowledge_ = open_knowledge(model_.card.prompt, model_.card.pattern, options.recommender.string(),
                              study_.dataset, options.numerics, options.model.string());
}

Request Ranker::history_of_user(int32_t user) const {
  const Dataset& dataset = study_.dataset;
  Request request;
  request.user = user;
  const auto begin = dataset.user_offsets[static_cast<size_t>(user)];
  const auto end = dataset.user_offsets[static_cast<size_t>(user) + 1];
  request.history.assign(dataset.items.begin() + begin, dataset.items.begin() + end);
  request.times.assign(dataset.times.begin() + begin, dataset.times.begin() + end);
  request.now = request.times.empty() ? 0 : request.times.back() + kNextDay;
  return request;
}

Request Ranker::history_of(const RankingQuery& query) const {
  const Dataset& dataset = study_.dataset;
  Request request;
  if (!query.user.empty()) {
    request = history_of_user(index_of(dataset.user_ids, query.user, "user"));
  } else {
    const int64_t last =
        dataset.times.empty() ? 0 : *std::max_element(dataset.times.begin(), dataset.times.end());
    const auto count = static_cast<int64_t>(query.history.size());
    for (int64_t j = 0; j < count; ++j) {
      const std::string& id = query.history[static_cast<size_t>(j)];
      request.history.push_back(index_of(dataset.catalogue.item_ids, id, "item"));
      request.times.push_back(last - (count - 1 - j) * kNextDay);
    }
    request.now = last + kNextDay;
  }
  CHECK(!request.history.empty(), kUsage, "no history: expected --user ID or --history ID,ID,…");
  return request;
}

std::vector<int32_t> Ranker::all_unseen(const Request& request) const {
  const std::unordered_set<int32_t> seen(request.history.begin(), request.history.end());
  std::vector<int32_t> items;
  for (const int32_t item : asked_)
    if (!seen.contains(item)) items.push_back(item);
  return items;
}

std::vector<Request> Ranker::requests(std::span<const RankingQuery> queries) const {
  std::vector<Request> requests;
  std::vector<size_t> open;
  std::vector<int32_t> counts;
  for (const RankingQuery& query : queries) {
    Request request = history_of(query);
    for (const std::string& id : query.candidates)
      request.candidates.push_back(index_of(catalogue().item_ids, id, "item"));
    if (query.candidates.empty()) {
      open.push_back(requests.size());
      counts.push_back(query.num_candidates);
    }
    requests.push_back(std::move(request));
  }
  choose_candidates(requests, open, counts);
  add_knowledge(requests);
  return requests;
}

std::vector<Request> Ranker::requests_of_users(std::span<const int32_t> users,
                                               int32_t num_candidates) const {
  std::vector<Request> requests;
  for (const int32_t user : users) requests.push_back(history_of_user(user));
  std::vector<size_t> open(users.size());
  std::iota(open.begin(), open.end(), 0);
  choose_candidates(requests, open, std::vector<int32_t>(users.size(), num_candidates));
  add_knowledge(requests);
  return requests;
}

void Ranker::choose_candidates(std::vector<Request>& requests, std::span<const size_t> open,
                               std::span<const int32_t> counts) const {
  if (open.empty()) return;
  const bool by_title = has_language_model() && model_.card.prompt.answer == AnswerKind::kTitle;
  const bool takes_all =
      std::all_of(counts.begin(), counts.end(), [](int32_t n) { return n == 0; });
  const bool ranks_all = takes_all || (by_title && !recommender_);
  if (ranks_all && has_language_model()) check_answers_by_title(model_);
  if (ranks_all || !has_language_model()) {
    for (const size_t r : open) requests[r].candidates = all_unseen(requests[r]);
    return;
  }
  CHECK(recommender_, kUsage,
        "no candidates: a model that answers by number chooses among given items: expected "
        "--recommender DIR (its best unseen items) or --candidates ID,ID,…\n"
        "hint: etrlrec fit --data {} --out runs/fit; a model of etrlrec pretrain ranks the whole "
        "catalogue",
        options_.data.string());
  std::vector<HistoryView> views;
  for (const size_t r : open)
    views.push_back({requests[r].history, requests[r].times, requests[r].now, requests[r].user});
  const std::lock_guard lock(computing_);
  const at::Tensor scores = recommender_->score(views).contiguous();
  const auto items = static_cast<size_t>(scores.size(1));
  for (size_t i = 0; i < open.size(); ++i)
    requests[open[i]].candidates = best_items({scores.const_data_ptr<float>() + i * items, items},
                                              {views[i], -1}, true, counts[i]);
}

void Ranker::add_knowledge(std::vector<Request>& requests) const {
  if (!knowledge_) return;
  const std::lock_guard lock(computing_);
  knowledge_->fill(requests, true, requests);
}

ProtocolOptions Ranker::protocol() const {
  ProtocolOptions protocol;
  protocol.prompt = model_.card.prompt;
  protocol.max_reasoning_tokens = model_.card.max_reasoning_tokens;
  protocol.new_items = new_items_;
  return protocol;
}

MemoryEstimate Ranker::estimate(std::span<const Request> requests) const {
  CHECK(has_language_model(), kUsage, "--dry-run: only language models, found a recommender");
  const std::lock_guard lock(computing_);
  return estimate_asking(model_, catalogue(), requests, protocol());
}

void Ranker::load() {
  if (!has_language_model()) return;
  const std::lock_guard lock(computing_);
  load_weights_of(model_);
  if (options_.beam > 0)
    beam_ = std::make_unique<TitleBeam>(*model_.model, model_.prompt_encoder(catalogue()),
                                        protocol(), options_.beam);
}

std::vector<Ranking> Ranker::by_language_model(std::span<const Request> requests) const {
  std::vector<Request> asked(requests.begin(), requests.end());
  for (Request& request : asked) request.target_slot = 0;  // unknown; decides its rank alone
  Predictions predictions =
      ask_language_model(*model_.model, model_.prompt_encoder(catalogue()), asked, protocol());
  if (trend_) predictions = with_trend(predictions, asked, *trend_);
  std::vector<Ranking> rankings;
  for (size_t r = 0; r < asked.size(); ++r) {
    const Prediction& prediction = predictions.rows[r];
    Ranking& ranking = rankings.emplace_back(best_of(asked[r], prediction.scores));
    ranking.reasoning = prediction.reasoning;
    ranking.valid = prediction.valid;
  }
  return rankings;
}

std::vector<int32_t> Ranker::shortlist(const Request& request,
                                       std::span<const int32_t> found) const {
  std::unordered_set<int32_t> chosen(found.begin(), found.end());
  std::vector<std::pair<double, int32_t>> rising;
  for (const int32_t item : request.candidates) {
    if (new_items_ && new_items_->is_new[static_cast<size_t>(item)]) chosen.insert(item);
    if (trend_) rising.emplace_back(-trend_->log_factor(item, request.now), item);
  }
  const size_t most = std::min(rising.size(), static_cast<size_t>(options_.beam));
  std::partial_sort(rising.begin(), rising.begin() + static_cast<int64_t>(most), rising.end());
  for (const auto& [fall, item] : std::span(rising).first(most)) chosen.insert(item);
  std::vector<int32_t> items;  // in the candidates' order, which decides between equal ones
  for (const int32_t item : request.candidates)
    if (chosen.contains(item)) items.push_back(item);
  return items;
}

std::vector<Ranking> Ranker::by_beam(std::span<const Request> requests) const {
  std::vector<TitleBeam::Best> found = beam_->rank(requests);
  if (new_items_ || trend_) {
    std::vector<Request> asked(requests.begin(), requests.end());
    for (size_t r = 0; r < asked.size(); ++r)
      asked[r].candidates = shortlist(requests[r], found[r].items);
    return by_language_model(asked);
  }
  std::vector<Ranking> rankings;
  for (TitleBeam::Best& best : found) {
    Ranking& ranking = rankings.emplace_back();
    for (size_t i = 0; i < best.items.size(); ++i)
      ranking.items.push_back({best.items[i], std::exp(best.logprobs[i])});
    ranking.reasoning = std::move(best.reasoning);
    ranking.valid = best.valid;
  }
  return rankings;
}

// Scores are taken as logits, as in eval/mix.h.
std::vector<Ranking> Ranker::by_recommender(std::span<const Request> requests) const {
  std::vector<Ranking> rankings;
  std::vector<std::vector<float>> scores = candidate_scores(*recommender_, requests);
  for (size_t r = 0; r < requests.size(); ++r) {
    at::Tensor logits = at::from_blob(scores[r].data(), {std::ssize(scores[r])}, at::kFloat);
    const at::Tensor probabilities = logits.softmax(0);
    const float* data = probabilities.const_data_ptr<float>();
    rankings.push_back(best_of(requests[r], {data, scores[r].size()}));
  }
  return rankings;
}

std::vector<Ranking> Ranker::rank(std::span<const Request> requests, int32_t k) const {
  CHECK(options_.beam == 0 || k <= options_.beam, kUsage,
        "-k: expected at most the {} titles of --beam, found {}", options_.beam, k);
  std::vector<Ranking> rankings;
  {
    const std::lock_guard lock(computing_);
    rankings = !has_language_model() ? by_recommender(requests)
               : beam_               ? by_beam(requests)
                                     : by_language_model(requests);
  }
  for (size_t r = 0; r < requests.size(); ++r) {
    Ranking& ranking = rankings[r];
    ranking.items.resize(std::min(ranking.items.size(), static_cast<size_t>(k)));
    if (ranking.reasoning.empty()) continue;
    const RowView view(catalogue(), &study_.statistics, requests[r], model_.card.prompt);
    std::vector<int32_t> shown;
    for (const auto& ranked : ranking.items) shown.push_back(ranked.item);
    ranking.explanation =
        explain(ranking.reasoning, judge_claims(view.claims(ranking.reasoning), view.context(), {}),
                view.context(), view.style(), shown);
  }
  return rankings;
}

}  // namespace etrlrec
