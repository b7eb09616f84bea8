#include "eval/full_ranking.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "base/rng.h"
#include "data/world_probability.h"
#include "eval/metrics.h"
#include "eval/mix.h"

namespace etrlrec {
namespace {

constexpr int64_t kRowsTogether = 128;
constexpr int64_t kScoresTogether = int64_t{1} << 24;  // 64 MiB

// The better item first; equal scores in the catalogue's order.
struct ByScore {
  std::span<const float> scores;
  bool operator()(int32_t a, int32_t b) const {
    const float of_a = scores[static_cast<size_t>(a)], of_b = scores[static_cast<size_t>(b)];
    return of_a != of_b ? of_a > of_b : a < b;
  }
};

Predictions with_scores(const char* protocol, std::vector<std::vector<float>> scores) {
  Predictions out;
  out.protocol = protocol;
  for (auto& row : scores) out.rows.emplace_back().scores = std::move(row);
  return out;
}

// Scores of one row at a time.
template <typename ScoreRow>
AskCatalogue ask_one_by_one(ScoreRow score) {
  return [score](int64_t begin, int64_t end) {
    std::vector<std::vector<float>> scores;
    for (int64_t row = begin; row < end; ++row) scores.push_back(score(row));
    return with_scores("score", std::move(scores));
  };
}

// Calls on_batch(begin, end) for all rows in order.
template <typename OnBatch>
void for_each_batch(int64_t rows, int64_t num_items, const OnBatch& on_batch,
                    const ProgressFn& on_progress) {
  const int64_t size = std::clamp<int64_t>(kScoresTogether / num_items, 1, kRowsTogether);
  for (int64_t begin = 0; begin < rows; begin += size) {
    const int64_t end = std::min(rows, begin + size);
    on_batch(begin, end);
    if (on_progress) on_progress(end, rows);
  }
}

}  // namespace

AskCatalogue ask_recommender(const Recommender& recommender, const FullRows& rows) {
  return [&recommender, &rows](int64_t begin, int64_t end) {
    std::vector<HistoryView> histories;
    for (int64_t row = begin; row < end; ++row)
      histories.push_back(rows.tasks[static_cast<size_t>(row)].history);
    const at::Tensor scores = recommender.score(histories).contiguous();  // [B, N]
    const float* data = scores.const_data_ptr<float>();
    std::vector<std::vector<float>> out;
    for (int64_t row = 0; row < scores.size(0); ++row)
      out.emplace_back(data + row * scores.size(1), data + (row + 1) * scores.size(1));
    return with_scores("score", std::move(out));
  };
}

AskCatalogue ask_at_random(int64_t num_items, uint64_t seed) {
  return ask_one_by_one([num_items, seed](int64_t row) {
    Rng rng(seed, "random ranking", static_cast<uint64_t>(row));
    std::vector<float> scores(static_cast<size_t>(num_items));
    for (float& score : scores) score = static_cast<float>(rng.uniform());
    return scores;
  });
}

AskCatalogue ask_world(const World& world, const FullRows& rows) {
  return ask_one_by_one([&world, &rows](int64_t row) {
    const HistoryView& history = rows.tasks[static_cast<size_t>(row)].history;
    const auto probabilities =
        next_item_probabilities(world, history.items, history.times, history.now);
    return std::vector<float>(probabilities.begin(), probabilities.end());
  });
}

AskCatalogue ask_titles(const LanguageModel& model, const PromptEncoder& encoder,
                        const std::vector<Request>& requests, const ProtocolOptions& options) {
  ProtocolOptions asked = options;
  asked.log_scores = true;
  return [&model, encoder, &requests, asked, titles = distinct_titles(encoder.catalogue)](
             int64_t begin, int64_t end) {
    std::vector<Request> batch(requests.begin() + begin, requests.begin() + end);
    for (Request& request : batch) request.candidates = titles.items, request.target_slot = 0;
    Predictions out = ask_language_model(model, encoder, batch, asked);
    for (Prediction& row : out.rows) {
      std::vector<float> scores;
      for (const int32_t place : titles.places)
        scores.push_back(row.scores[static_cast<size_t>(place)]);
      row.scores = std::move(scores);
    }
    return out;
  };
}

AskCatalogue ask_mix(AskCatalogue first, AskCatalogue second, double weight) {
  return
      [first = std::move(first), second = std::move(second), weight](int64_t begin, int64_t end) {
        Predictions out = first(begin, end);
        const Predictions other = second(begin, end);
        for (size_t r = 0; r < out.rows.size(); ++r)
          for (size_t item = 0; item < out.rows[r].scores.size(); ++item) {
            float& score = out.rows[r].scores[item];
            score = static_cast<float>(weight * score + (1 - weight) * other.rows[r].scores[item]);
          }
        return out;
      };
}

DistinctTitles distinct_titles(const Catalogue& catalogue) {
  const std::vector<int32_t> canonical = canonical_items(catalogue);
  DistinctTitles titles;
  for (int32_t item = 0; item < static_cast<int32_t>(canonical.size()); ++item)
    if (canonical[static_cast<size_t>(item)] == item) titles.items.push_back(item);
  for (const int32_t first : canonical)
    titles.places.push_back(static_cast<int32_t>(
        std::lower_bound(titles.items.begin(), titles.items.end(), first) - titles.items.begin()));
  return titles;
}

std::vector<int32_t> best_items(std::span<const float> scores, std::vector<int32_t> items,
                                int64_t count) {
  const auto kept = std::min(std::ssize(items), count);
  std::partial_sort(items.begin(), items.begin() + kept, items.end(), ByScore{scores});
  items.resize(static_cast<size_t>(kept));
  return items;
}

std::vector<int32_t> best_items(std::span<const float> scores, const RankingTask& task,
                                bool mask_seen, int64_t count) {
  std::vector<int32_t> seen;
  if (mask_seen) seen.assign(task.history.items.begin(), task.history.items.end());
  std::sort(seen.begin(), seen.end());
  const auto is_masked = [&](int32_t item) {
    return item != task.target && std::binary_search(seen.begin(), seen.end(), item);
  };
  // One pass; the heap's front is the worst of the best so far, which few items beat.
  std::vector<int32_t> best;
  const ByScore by_score{scores};
  for (int32_t item = 0; item < static_cast<int32_t>(scores.size()); ++item) {
    const bool full = std::ssize(best) >= count;
    if (full && (count == 0 || !by_score(item, best.front()))) continue;
    if (is_masked(item)) continue;
    if (full) {
      std::pop_heap(best.begin(), best.end(), by_score);
      best.pop_back();
    }
    best.push_back(item);
    std::push_heap(best.begin(), best.end(), by_score);
  }
  std::sort_heap(best.begin(), best.end(), by_score);
  return best;
}

Predictions rank_catalogue(const FullRows& rows, int64_t num_items, const AskCatalogue& ask,
                           const ProgressFn& on_progress) {
  Predictions out;
  const auto rank_batch = [&](int64_t begin, int64_t end) {
    Predictions asked = ask(begin, end);
    out.protocol = asked.protocol;
    at::parallel_for(begin, end, 1, [&](int64_t first, int64_t last) {
      for (int64_t row = first; row < last; ++row) {
        Prediction& prediction = asked.rows[static_cast<size_t>(row - begin)];
        const RankingTask& task = rows.tasks[static_cast<size_t>(row)];
        CHECK(std::ssize(prediction.scores) == num_items, kFailure,
              "full ranking: expected scores of {} items, found {}", num_items,
              prediction.scores.size());
        prediction.row = row;
        prediction.user = rows.rows[static_cast<size_t>(row)].user;
        prediction.target_slot = task.target;
        prediction.rank = full_rank(prediction.scores, task, rows.mask_seen);
        prediction.answer = best_items(prediction.scores, task, rows.mask_seen, 1).at(0) + 1;
        prediction.scores = std::vector<float>();
      }
    });
    std::move(asked.rows.begin(), asked.rows.end(), std::back_inserter(out.rows));
  };
  for_each_batch(std::ssize(rows.tasks), num_items, rank_batch, on_progress);
  out.num_candidates = static_cast<int32_t>(num_items);
  return out;
}

double choose_full_mix_weight(const FullRows& rows, int64_t num_items, const AskCatalogue& first,
                              const AskCatalogue& second, const ProgressFn& on_progress) {
  const std::vector<double> weights = mix_weights();
  std::vector<double> sums(weights.size(), 0);
  const auto add_batch = [&](int64_t begin, int64_t end) {
    const Predictions a = first(begin, end), b = second(begin, end);
    const auto known = [](const Predictions& p) { return [&p](int64_t, int64_t) { return p; }; };
    for (size_t w = 0; w < weights.size(); ++w) {
      const Predictions mixed = ask_mix(known(a), known(b), weights[w])(begin, end);
      for (int64_t row = begin; row < end; ++row)
        sums[w] += ndcg_at(full_rank(mixed.rows[static_cast<size_t>(row - begin)].scores,
                                     rows.tasks[static_cast<size_t>(row)], rows.mask_seen),
                           10);
    }
  };
  for_each_batch(std::ssize(rows.tasks), num_items, add_batch, on_progress);
  return best_mix_weight(sums);
}

std::string full_protocol_name(const std::string& name, int64_t num_items, bool mask_seen) {
  return fmt::format("{}[all{}{}]", name, num_items, mask_seen ? ",mask-seen" : "");
}

}  // namespace etrlrec
