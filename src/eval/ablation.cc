#include "eval/ablation.h"

#include <numeric>

#include "base/check.h"
#include "base/rng.h"

namespace etrlrec {
namespace {

constexpr int64_t kQuarterSeconds = 7889400;  // a quarter of 365.25 days

// gaps[j] lies before entry j + 1, the last one before the request.
std::vector<int64_t> gaps_of(const Request& request) {
  std::vector<int64_t> gaps;
  for (size_t j = 1; j < request.times.size(); ++j)
    gaps.push_back(request.times[j] - request.times[j - 1]);
  if (!request.times.empty()) gaps.push_back(request.now - request.times.back());
  return gaps;
}

// Times that have these gaps and end at the request.
void set_gaps(Request& request, const std::vector<int64_t>& gaps) {
  int64_t time = request.now;
  for (size_t j = request.times.size(); j-- > 0;) {
    time -= gaps[j];
    request.times[j] = time;
  }
}

void shuffle_history(Request& request, Rng& rng) {
  const size_t n = request.history.size();
  if (n < 3) return;
  const std::vector<int64_t> gaps = gaps_of(request);
  std::vector<size_t> order(n - 1);  // of the entries 1 .. n - 1
  std::iota(order.begin(), order.end(), size_t{1});
  rng.shuffle(order);
  const std::vector<int32_t> items = request.history;
  std::vector<int64_t> moved = gaps;
  for (size_t j = 1; j < n; ++j) {
    request.history[j] = items[order[j - 1]];
    moved[j - 1] = gaps[order[j - 1] - 1];
  }
  set_gaps(request, moved);
}

void permute_gaps(Request& request, Rng& rng) {
  std::vector<int64_t> gaps = gaps_of(request);
  rng.shuffle(gaps);
  set_gaps(request, gaps);
}

void shift_season(Request& request, Rng& rng) {
  const int64_t shift = static_cast<int64_t>(rng.below(4)) * kQuarterSeconds;
  for (int64_t& time : request.times) time -= shift;
  request.now -= shift;
}

}  // namespace

std::vector<Request> ablate_requests(std::span<const Request> requests, const std::string& name,
                                     uint64_t seed) {
  std::vector<Request> result(requests.begin(), requests.end());
  if (name == "none") return result;
  const auto ablate = name == "shuffle-history" ? shuffle_history
                      : name == "permute-gaps"  ? permute_gaps
                      : name == "shift-season"  ? shift_season
                                                : nullptr;
  CHECK(ablate != nullptr, kUsage,
        "unknown ablation \"{}\"; known: none, shuffle-history, permute-gaps, shift-season", name);
  for (size_t r = 0; r < result.size(); ++r) {
    Rng rng(seed, "ablation/" + name, r);
    ablate(result[r], rng);
  }
  return result;
}

}  // namespace etrlrec
