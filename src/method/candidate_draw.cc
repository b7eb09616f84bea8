#include "method/candidate_draw.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/check.h"
#include "base/io.h"
#include "base/log.h"
#include "base/rng.h"
#include "data/candidate_file.h"
#include "kernels/parallel.h"
#include "method/fit.h"

namespace etrlrec {
namespace {

constexpr int64_t kTop = 50;  // of the recommender, method.md G.7
constexpr int64_t kBatch = 256;

// Item indices of the recommender's kTop best for every row.
std::vector<std::vector<int32_t>> top_items(const fs::path& folder, const Dataset& dataset,
                                            std::span<const Row> rows, const Numerics& numerics) {
  const auto recommender = load_recommender_of(folder, dataset, numerics);
  const auto tasks = ranking_tasks(dataset, rows);
  std::vector<std::vector<int32_t>> tops;
  ProgressBar bar("candidates", static_cast<int64_t>(tasks.size()));
  for (size_t begin = 0; begin < tasks.size(); begin += kBatch) {
    std::vector<HistoryView> histories;
    for (size_t r = begin; r < std::min(tasks.size(), begin + kBatch); ++r)
      histories.push_back(tasks[r].history);
    const at::Tensor scores = recommender->score(histories);
    const at::Tensor best =
        std::get<1>(scores.topk(std::min(kTop, scores.size(1)), 1)).contiguous();
    for (int64_t r = 0; r < best.size(0); ++r) {
      const int64_t* ids = best.const_data_ptr<int64_t>() + r * best.size(1);
      tops.emplace_back(ids, ids + best.size(1));
    }
    bar.update(static_cast<int64_t>(tops.size()));
  }
  return tops;
}

}  // namespace

std::vector<Row> draw_rows(std::vector<Row> rows, int64_t count, uint64_t seed,
                           const std::string& stream) {
  if (static_cast<int64_t>(rows.size()) <= count) return rows;
  Rng rng(seed, stream);
  rng.shuffle(rows);
  rows.resize(static_cast<size_t>(count));
  std::sort(rows.begin(), rows.end(),
            [](const Row& a, const Row& b) { return a.position < b.position; });
  return rows;
}

CandidateSet among_popular(const Dataset& dataset, const Split& split, const CandidateSet& set) {
  CandidateOptions options = set.options;
  options.kind = CandidateKind::kPopular;
  return draw_candidates(dataset, split, set.rows, options);
}

CandidateDraw draw_candidate_file(const CandidateDrawOptions& options) {
  const Dataset dataset = load_dataset(options.data);
  const Split split = load_split(options.data);
  CandidateOptions draw{candidate_kind(options.kind), options.count, options.seed};
  const bool hard = draw.kind == CandidateKind::kMixedHard;
  CHECK(hard == !options.recommender.empty(), kUsage, "--kind {}: {}", options.kind,
        hard ? "needs --recommender, a folder of fit" : "takes no --recommender");
  CHECK(!fs::exists(options.out), kUsage, "{}: exists already\nhint: choose another --out",
        options.out);
  std::vector<Row> rows = options.part == "train"   ? split.train
                          : options.part == "valid" ? split.valid
                                                    : split.test;
  if (draw.kind == CandidateKind::kCold) {
    rows = cold_targets(dataset, split, rows);
    CHECK(!rows.empty(), kInput,
          "--kind cold: every target of the {} rows has an interaction in the training part",
          options.part);
  }
  if (options.limit > 0 && static_cast<int64_t>(rows.size()) > options.limit) {
    log_info("--limit: {} of {} rows", options.limit, rows.size());
    rows = draw_rows(std::move(rows), options.limit, options.seed, "candidates rows");
  }
  const auto tops = hard ? top_items(options.recommender, dataset, rows, options.numerics)
                         : std::vector<std::vector<int32_t>>{};
  const auto threads = static_cast<int32_t>(num_threads());
  const CandidateSet set = draw_candidates(dataset, split, rows, draw, tops, threads);
  save_candidates(set, dataset, options.out, threads);
  return {static_cast<int64_t>(rows.size()), set.hash};
}

}  // namespace etrlrec
