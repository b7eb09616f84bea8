#include "eval/ablation.h"

#include <fmt/ranges.h>

#include <algorithm>
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

void reverse_history(Request& request, Rng&) {
  std::vector<int64_t> gaps = gaps_of(request);
  if (gaps.size() < 2) return;
  std::reverse(request.history.begin(), request.history.end());
  std::reverse(gaps.begin(), gaps.end() - 1);
  set_gaps(request, gaps);
}

void inflate_gaps(Request& request, Rng&) {
  std::vector<int64_t> gaps = gaps_of(request);
  for (int64_t& gap : gaps) gap *= kGapInflation;
  set_gaps(request, gaps);
}

void shift_season(Request& request, Rng& rng) {
  const int64_t shift = static_cast<int64_t>(rng.below(4)) * kQuarterSeconds;
  for (int64_t& time : request.times) time -= shift;
  request.now -= shift;
}

// For remove-times, which looks at all requests.
void keep(Request&, Rng&) {}

int64_t median_time(std::span<const Request> requests) {
  std::vector<int64_t> times;
  for (const Request& request : requests) times.push_back(request.now);
  const auto middle = times.begin() + (std::ssize(times) - 1) / 2;
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

void remove_times(std::vector<Request>& requests) {
  if (requests.empty()) return;
  const int64_t now = median_time(requests);
  for (Request& request : requests) {
    request.now = now;
    std::fill(request.times.begin(), request.times.end(), now);
  }
}

struct Ablation {
  std::string_view name;
  void (*ablate)(Request& request, Rng& rng);
  bool moves_request_time = false;
};
constexpr Ablation kAblations[] = {{"none", keep},
                                   {"shuffle-history", shuffle_history},
                                   {"reverse-history", reverse_history},
                                   {"permute-gaps", permute_gaps},
                                   {"inflate-gaps", inflate_gaps},
                                   {"shift-season", shift_season, true},
                                   {"remove-times", keep, true}};

const Ablation& find_ablation(std::string_view name) {
  for (const Ablation& ablation : kAblations)
    if (ablation.name == name) return ablation;
  fail(ExitCode::kUsage, "unknown ablation \"{}\"; known: {}", name,
       fmt::join(ablation_names(), ", "));
}

}  // namespace

std::vector<std::string> ablation_names() {
  std::vector<std::string> names;
  for (const Ablation& ablation : kAblations) names.emplace_back(ablation.name);
  return names;
}

bool moves_request_time(std::string_view name) { return find_ablation(name).moves_request_time; }

std::vector<Request> ablate_requests(std::span<const Request> requests, std::string_view name,
                                     uint64_t seed) {
  const Ablation& ablation = find_ablation(name);
  std::vector<Request> result(requests.begin(), requests.end());
  for (size_t r = 0; r < result.size(); ++r) {
    Rng rng(seed, fmt::format("ablation/{}", name), r);
    ablation.ablate(result[r], rng);
  }
  if (name == "remove-times") remove_times(result);
  return result;
}

}  // namespace etrlrec
