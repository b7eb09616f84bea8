#include "eval/ablation.h"

#include "base/check.h"
#include "base/rng.h"

namespace etrlrec {
namespace {

constexpr int64_t kQuarterSeconds = 7889400;  // a quarter of 365.25 days

void shuffle_history(Request& request, Rng& rng) { rng.shuffle(request.history); }

void permute_gaps(Request& request, Rng& rng) {
  std::vector<int64_t> gaps;
  for (size_t j = 1; j < request.times.size(); ++j)
    gaps.push_back(request.times[j] - request.times[j - 1]);
  if (!request.times.empty()) gaps.push_back(request.now - request.times.back());
  rng.shuffle(gaps);
  int64_t time = request.now;
  for (size_t j = request.times.size(); j-- > 0;) {
    time -= gaps[j];
    request.times[j] = time;
  }
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
