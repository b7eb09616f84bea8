// Interactions are grouped by user with a counting sort and ordered by time inside a user with a
// stable sort.
#include "data/log_builder.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "data/calendar.h"

namespace etrlrec {

int32_t Interner::index(std::string_view text) {
  const auto found = index_.find(text);
  if (found != index_.end()) return found->second;
  CHECK(index_.size() < size_t{INT32_MAX}, kInput, "more than {} different ids", INT32_MAX);
  return index_.emplace(text, static_cast<int32_t>(index_.size())).first->second;
}

std::vector<std::string> Interner::take() {
  std::vector<std::string> texts(index_.size());
  for (const auto& [text, i] : index_) texts[i] = text;
  index_.clear();
  return texts;
}

std::optional<double> TimeColumn::parse(std::string_view text) {
  if (kind_ != Kind::kDate) {
    double value = 0;
    const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool whole = result.ec == std::errc() && result.ptr == text.data() + text.size();
    if (whole && std::abs(value) < 9e18) {
      kind_ = Kind::kNumber;
      return value;
    }
    if (kind_ == Kind::kNumber) return std::nullopt;
  }
  const auto seconds = parse_iso_time(text);
  if (seconds) kind_ = Kind::kDate;
  return seconds;
}

std::vector<int64_t> TimeColumn::to_seconds(const std::vector<double>& raw,
                                            std::string& unit) const {
  static constexpr std::array<const char*, 4> kUnits = {"seconds", "milliseconds", "microseconds",
                                                        "nanoseconds"};
  double per_second = 1;
  unit = kind_ == Kind::kDate ? "ISO-8601" : kUnits[0];
  if (kind_ == Kind::kNumber && !raw.empty()) {
    std::vector<double> sizes(raw.size());
    std::transform(raw.begin(), raw.end(), sizes.begin(), [](double t) { return std::abs(t); });
    const auto middle = sizes.begin() + static_cast<int64_t>(sizes.size() / 2);
    std::nth_element(sizes.begin(), middle, sizes.end());
    // In seconds 1e11 is the year 5138, in milliseconds March 1973.
    size_t power = 0;
    for (double limit = 1e11; power < 3 && *middle >= limit; limit *= 1000) ++power;
    unit = kUnits[power];
    per_second = std::pow(1000.0, static_cast<double>(power));
  }
  std::vector<int64_t> seconds(raw.size());
  std::transform(raw.begin(), raw.end(), seconds.begin(),
                 [&](double t) { return static_cast<int64_t>(std::floor(t / per_second)); });
  return seconds;
}

bool LogBuilder::add_item(std::string_view id, std::string title) {
  if (item_index_.index(id) < catalogue_.num_items()) return false;
  catalogue_.item_ids.emplace_back(id);
  catalogue_.titles.push_back(std::move(title));
  catalogue_.attribute_offsets.push_back(catalogue_.attribute_offsets.back());
  return true;
}

void LogBuilder::add_field(const std::string& field) {
  const auto [entry, added] =
      field_index_.emplace(field, static_cast<int32_t>(catalogue_.fields.size()));
  if (added) catalogue_.fields.push_back(entry->first);
}

void LogBuilder::add_attribute(const std::string& field, const std::string& name) {
  add_field(field);
  const int32_t f = field_index_.at(field);
  const auto [entry, added] = attribute_index_.emplace(
      field + '\n' + name, static_cast<int32_t>(catalogue_.attributes.size()));
  if (added) {
    catalogue_.attributes.push_back(name);
    catalogue_.attribute_fields.push_back(f);
  }
  const auto begin = catalogue_.attribute_ids.begin() +
                     catalogue_.attribute_offsets[catalogue_.attribute_offsets.size() - 2];
  if (std::find(begin, catalogue_.attribute_ids.end(), entry->second) !=
      catalogue_.attribute_ids.end()) {
    return;
  }
  catalogue_.attribute_ids.push_back(entry->second);
  ++catalogue_.attribute_offsets.back();
}

void LogBuilder::add_interaction(std::string_view user, std::string_view item, double raw_time) {
  const int32_t i = item_index_.index(item);
  if (i == catalogue_.num_items()) {
    catalogue_.item_ids.emplace_back(item);
    catalogue_.titles.emplace_back();
    catalogue_.attribute_offsets.push_back(catalogue_.attribute_offsets.back());
  }
  user_.push_back(users_.index(user));
  item_.push_back(i);
  time_.push_back(raw_time);
}

std::vector<int64_t> LogBuilder::sorted_order(std::vector<int64_t>& user_offsets,
                                              int64_t num_users) const {
  user_offsets.assign(static_cast<size_t>(num_users) + 1, 0);
  for (const int32_t u : user_) ++user_offsets[u + 1];
  std::partial_sum(user_offsets.begin(), user_offsets.end(), user_offsets.begin());
  std::vector<int64_t> order(user_.size()), next(user_offsets.begin(), user_offsets.end() - 1);
  for (size_t i = 0; i < user_.size(); ++i) order[next[user_[i]]++] = static_cast<int64_t>(i);
  for (int64_t u = 0; u < num_users; ++u) {
    std::stable_sort(order.begin() + user_offsets[u], order.begin() + user_offsets[u + 1],
                     [&](int64_t a, int64_t b) { return time_[a] < time_[b]; });
  }
  return order;
}

void LogBuilder::finish_titles(Catalogue& catalogue, ReadReport& report) {
  std::vector<bool> titled(catalogue.titles.size());
  for (size_t i = 0; i < catalogue.titles.size(); ++i) {
    titled[i] = !catalogue.titles[i].empty();
    if (titled[i]) continue;
    report.untitled.push_back(static_cast<int32_t>(i));
    catalogue.titles[i] = catalogue.item_ids[i];
  }
  const auto canonical = canonical_items(catalogue);
  for (size_t i = 0; i < canonical.size(); ++i) {
    report.duplicate_titles += titled[i] && canonical[i] != static_cast<int32_t>(i);
  }
}

Dataset LogBuilder::finish(const TimeColumn& time, bool keep_duplicates, ReadReport& report) {
  Dataset dataset;
  dataset.user_ids = users_.take();
  std::vector<int64_t> input_offsets;
  const auto order = sorted_order(input_offsets, dataset.num_users());
  const auto seconds = time.to_seconds(time_, report.time_unit);

  std::vector<int64_t> last_run(catalogue_.item_ids.size(), -1);  // run of equal times per item
  int64_t run = -1;
  for (int64_t u = 0; u < dataset.num_users(); ++u) {
    for (int64_t k = input_offsets[u]; k < input_offsets[u + 1]; ++k) {
      const int64_t i = order[k];
      const bool tie = k > input_offsets[u] && time_[order[k - 1]] == time_[i];
      if (!tie) ++run;
      const bool repeated = std::exchange(last_run[item_[i]], run) == run;
      report.duplicates += repeated;
      if (repeated && !keep_duplicates) continue;
      report.ties += tie;
      dataset.items.push_back(item_[i]);
      dataset.times.push_back(seconds[i]);
      if (!ratings_.empty()) dataset.ratings.push_back(ratings_[i]);
    }
    dataset.user_offsets.push_back(dataset.num_interactions());
  }
  dataset.catalogue = std::move(catalogue_);
  finish_titles(dataset.catalogue, report);
  return dataset;
}

}  // namespace etrlrec
