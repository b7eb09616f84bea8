// Interactions are grouped by user with a counting sort and ordered by time inside a user with a
// stable sort.
#include "data/log_builder.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "base/check.h"

namespace etrlrec {

int32_t Interner::index(std::string_view text) {
  const auto found = index_.find(text);
  if (found != index_.end()) return found->second;
  CHECK(index_.size() < size_t{INT32_MAX}, kInput, "more than {} different ids", INT32_MAX);
  return index_.emplace(text, static_cast<int32_t>(index_.size())).first->second;
}

std::vector<std::string> Interner::texts() const {
  std::vector<std::string> texts(index_.size());
  for (const auto& [text, i] : index_) texts[static_cast<size_t>(i)] = text;
  return texts;
}

bool LogBuilder::add_item(std::string_view id, std::string title) {
  if (item_index_.index(id) < catalogue_.num_items()) return false;
  catalogue_.item_ids.emplace_back(id);
  catalogue_.titles.push_back(std::move(title));
  catalogue_.attribute_offsets.push_back(catalogue_.attribute_offsets.back());
  catalogue_items_ = catalogue_.num_items();
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

void LogBuilder::add_interaction(std::string_view user, std::string_view item) {
  const int32_t i = item_index_.index(item);
  if (i == catalogue_.num_items()) {
    catalogue_.item_ids.emplace_back(item);
    catalogue_.titles.emplace_back();
    catalogue_.attribute_offsets.push_back(catalogue_.attribute_offsets.back());
  }
  user_.push_back(users_.index(user));
  item_.push_back(i);
}

std::vector<std::string> LogBuilder::shown(std::span<const int64_t> interactions) const {
  const std::vector<std::string> users = users_.texts();
  std::vector<std::string> out;
  for (const int64_t i : interactions)
    out.push_back(users[static_cast<size_t>(user_[static_cast<size_t>(i)])] + " | " +
                  catalogue_.item_ids[static_cast<size_t>(item_[static_cast<size_t>(i)])]);
  return out;
}

// Entries of `values` whose index is not in `dropped`, in place.
template <typename T>
void erase_indices(std::span<const int64_t> dropped, std::vector<T>& values) {
  auto next = dropped.begin();
  size_t kept = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    if (next != dropped.end() && *next == static_cast<int64_t>(i)) {
      ++next;
    } else {
      values[kept++] = values[i];
    }
  }
  values.resize(kept);
}

void LogBuilder::drop(std::span<const int64_t> dropped, std::vector<double>& seconds) {
  if (dropped.empty()) return;
  erase_indices(dropped, user_);
  erase_indices(dropped, item_);
  erase_indices(dropped, seconds);
  if (!ratings_.empty()) erase_indices(dropped, ratings_);
  // Items behind those of the catalogue that no interaction names any more.
  std::vector<int32_t> place(catalogue_.item_ids.size(), -1);
  for (const int32_t i : item_) place[static_cast<size_t>(i)] = 0;
  int32_t kept = 0;
  for (size_t i = 0; i < place.size(); ++i) {
    if (static_cast<int64_t>(i) >= catalogue_items_ && place[i] < 0) continue;
    place[i] = kept;
    if (i != static_cast<size_t>(kept)) {
      catalogue_.item_ids[static_cast<size_t>(kept)] = std::move(catalogue_.item_ids[i]);
      catalogue_.titles[static_cast<size_t>(kept)] = std::move(catalogue_.titles[i]);
    }
    ++kept;
  }
  catalogue_.item_ids.resize(static_cast<size_t>(kept));
  catalogue_.titles.resize(static_cast<size_t>(kept));
  catalogue_.attribute_offsets.resize(static_cast<size_t>(kept) + 1);  // they have no attributes
  for (int32_t& i : item_) i = place[static_cast<size_t>(i)];
}

std::vector<int64_t> LogBuilder::sorted_order(const std::vector<double>& seconds,
                                              std::vector<int64_t>& user_offsets,
                                              int64_t num_users) const {
  user_offsets.assign(static_cast<size_t>(num_users) + 1, 0);
  for (const int32_t u : user_) ++user_offsets[u + 1];
  std::partial_sum(user_offsets.begin(), user_offsets.end(), user_offsets.begin());
  std::vector<int64_t> order(user_.size()), next(user_offsets.begin(), user_offsets.end() - 1);
  for (size_t i = 0; i < user_.size(); ++i) order[next[user_[i]]++] = static_cast<int64_t>(i);
  for (int64_t u = 0; u < num_users; ++u) {
    std::stable_sort(order.begin() + user_offsets[u], order.begin() + user_offsets[u + 1],
                     [&](int64_t a, int64_t b) { return seconds[a] < seconds[b]; });
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

Dataset LogBuilder::finish(std::vector<double> seconds, std::span<const int64_t> dropped,
                           bool keep_duplicates, ReadReport& report) {
  drop(dropped, seconds);
  Dataset dataset;
  const std::vector<std::string> users = users_.texts();
  std::vector<int64_t> input_offsets;
  const auto order = sorted_order(seconds, input_offsets, std::ssize(users));

  std::vector<int64_t> last_run(catalogue_.item_ids.size(), -1);  // run of equal times per item
  int64_t run = -1;
  for (size_t u = 0; u < users.size(); ++u) {
    if (input_offsets[u] == input_offsets[u + 1]) continue;  // all of theirs was dropped
    dataset.user_ids.push_back(users[u]);
    for (int64_t k = input_offsets[u]; k < input_offsets[u + 1]; ++k) {
      const int64_t i = order[k];
      const bool tie = k > input_offsets[u] && seconds[order[k - 1]] == seconds[i];
      if (!tie) ++run;
      const bool repeated = std::exchange(last_run[item_[i]], run) == run;
      report.duplicates += repeated;
      if (repeated && !keep_duplicates) continue;
      report.ties += tie;
      dataset.items.push_back(item_[i]);
      dataset.times.push_back(static_cast<int64_t>(std::floor(seconds[i])));
      if (!ratings_.empty()) dataset.ratings.push_back(ratings_[i]);
    }
    dataset.user_offsets.push_back(dataset.num_interactions());
  }
  dataset.order_only = report.order_only;
  dataset.catalogue = std::move(catalogue_);
  finish_titles(dataset.catalogue, report);
  return dataset;
}

}  // namespace etrlrec
