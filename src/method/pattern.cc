#include "method/pattern.h"

#include <algorithm>

#include "base/io.h"
#include "base/sha256.h"
#include "eval/full_ranking.h"
#include "method/fit.h"

namespace etrlrec {
namespace {

constexpr size_t kTogether = 256;  // histories scored at once

}  // namespace

PatternSource::PatternSource(const fs::path& folder, const Dataset& dataset,
                             const Numerics& numerics, int32_t items)
    : recommender_(load_recommender_of(folder, dataset, numerics)),
      record_{recommender_->name(), sha256_file(folder / "inputs.json")},
      trained_until_(etrlrec::trained_until(folder)),
      items_(items) {}

std::vector<std::vector<int32_t>> PatternSource::patterns(std::span<const Request> requests,
                                                          bool mask_seen,
                                                          std::optional<int64_t> most) const {
  const int64_t count = most.value_or(items_);
  std::vector<std::vector<int32_t>> patterns;
  for (size_t begin = 0; begin < requests.size(); begin += kTogether) {
    const auto batch = requests.subspan(begin, std::min(kTogether, requests.size() - begin));
    std::vector<HistoryView> views;
    for (const Request& request : batch)
      views.push_back({request.history, request.times, request.now, request.user});
    const at::Tensor scores = recommender_->score(views).contiguous();  // [B, N]
    const auto items = static_cast<size_t>(scores.size(1));
    for (size_t r = 0; r < batch.size(); ++r) {
      const std::span row(scores.const_data_ptr<float>() + r * items, items);
      patterns.push_back(batch[r].candidates.empty()
                             ? best_items(row, {views[r], -1}, mask_seen, count)
                             : best_items(row, batch[r].candidates, count));
    }
  }
  return patterns;
}

}  // namespace etrlrec
