#include "temporal/change_point.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/rng.h"

namespace etrlrec {
namespace {

constexpr int kPermutations = 200;

}  // namespace

ChangePoint::ChangePoint(const Catalogue& catalogue, const Request& request) {
  std::vector<int32_t> ids;
  for (const int32_t item : request.history) {
    rows_.emplace_back();
    for (const int32_t a : catalogue.attributes_of(item)) {
      const auto found = std::find(ids.begin(), ids.end(), a);
      rows_.back().push_back(static_cast<int32_t>(found - ids.begin()));
      if (found == ids.end()) ids.push_back(a);
      ++total_;
    }
  }
  num_ids_ = ids.size();
  log_.resize(total_ + 1, 0.0);
  for (size_t c = 1; c <= total_; ++c) log_[c] = static_cast<double>(c) * std::log(c);
  // A split inside a group of equal times would order what has no order.
  for (size_t s = 2; s + 2 <= rows_.size(); ++s)
    if (request.times[s - 1] < request.times[s]) splits_.push_back(s);
}

std::pair<int32_t, double> ChangePoint::test() const {
  std::vector<size_t> order(rows_.size());
  std::iota(order.begin(), order.end(), 0);
  const auto [split, observed] = best(order);
  if (split < 0 || observed <= 0) return {-1, 1.0};
  Rng rng(0, "facts/shift");
  int reached = 1;
  for (int k = 0; k < kPermutations; ++k) {
    rng.shuffle(order);
    if (best(order).second >= observed - 1e-12) ++reached;
  }
  return {split, static_cast<double>(reached) / (kPermutations + 1)};
}

double ChangePoint::divergence_at(size_t split) const {
  std::vector<int32_t> left(num_ids_, 0), all = totals();
  size_t left_total = 0;
  for (size_t j = 0; j < split; ++j)
    for (const int32_t a : rows_[j]) ++left[a], ++left_total;
  return information(left, all, left_total);
}

std::vector<int32_t> ChangePoint::totals() const {
  std::vector<int32_t> all(num_ids_, 0);
  for (const auto& row : rows_)
    for (const int32_t a : row) ++all[a];
  return all;
}

double ChangePoint::information(const std::vector<int32_t>& left, const std::vector<int32_t>& all,
                                size_t left_total) const {
  if (total_ == 0) return 0;
  double sum = log_[total_] - log_[left_total] - log_[total_ - left_total];
  for (size_t a = 0; a < num_ids_; ++a)
    sum += log_[left[a]] + log_[all[a] - left[a]] - log_[all[a]];
  return std::max(0.0, sum / static_cast<double>(total_));
}

std::pair<int32_t, double> ChangePoint::best(const std::vector<size_t>& order) const {
  std::pair<int32_t, double> found{-1, -1.0};
  const std::vector<int32_t> all = totals();
  std::vector<int32_t> left(num_ids_, 0);
  size_t done = 0, left_total = 0;
  for (const size_t split : splits_) {
    for (; done < split; ++done)
      for (const int32_t a : rows_[order[done]]) ++left[a], ++left_total;
    const double value = information(left, all, left_total);
    if (value > found.second) found = {static_cast<int32_t>(split), value};
  }
  return found;
}

}  // namespace etrlrec
