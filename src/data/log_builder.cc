#include "data/log_builder.h"

#include <algorithm>
#include <utility>

#include "data/event_sort.h"

namespace etrlrec {

namespace {

// New numbers of the ids of all readers, in the order of their first appearance: map[reader][id].
template <typename OnNew>
std::vector<std::vector<int32_t>> number_ids(std::span<const SeenIds* const> seen, Interner& all,
                                             const OnNew& on_new) {
  std::vector<std::vector<int32_t>> map(seen.size());
  std::vector<size_t> next(seen.size());
  while (true) {
    size_t first = seen.size();
    for (size_t r = 0; r < seen.size(); ++r) {
      if (next[r] == seen[r]->first.size()) continue;
      if (first == seen.size() || seen[r]->first[next[r]] < seen[first]->first[next[first]])
        first = r;
    }
    if (first == seen.size()) return map;
    const std::string_view text = seen[first]->ids.text(static_cast<int32_t>(next[first]++));
    const int64_t known = all.size();
    map[first].push_back(all.index(text));
    if (all.size() > known) on_new(text);
  }
}

}  // namespace

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

void LogBuilder::add_rows(const LogRows& rows, int32_t reader) {
  user_.insert(user_.end(), rows.users.begin(), rows.users.end());
  item_.insert(item_.end(), rows.items.begin(), rows.items.end());
  ratings_.insert(ratings_.end(), rows.ratings.begin(), rows.ratings.end());
  readers_.emplace_back(user_.size(), reader);
}

void LogBuilder::take_ids(std::span<const LogRowReader* const> readers) {
  std::vector<const SeenIds*> users, items;
  for (const LogRowReader* reader : readers) {
    users.push_back(&reader->users());
    items.push_back(&reader->items());
  }
  const auto user_map = number_ids(users, users_, [](std::string_view) {});
  const auto item_map = number_ids(items, item_index_, [&](std::string_view id) {
    catalogue_.item_ids.emplace_back(id);
    catalogue_.titles.emplace_back();
    catalogue_.attribute_offsets.push_back(catalogue_.attribute_offsets.back());
  });
  size_t i = 0;
  for (const auto& [end, reader] : readers_) {
    const auto r = static_cast<size_t>(reader);
    for (; i < end; ++i) {
      user_[i] = user_map[r][static_cast<size_t>(user_[i])];
      item_[i] = item_map[r][static_cast<size_t>(item_[i])];
    }
  }
}

std::vector<std::string> LogBuilder::shown(std::span<const int64_t> interactions) const {
  std::vector<std::string> out;
  for (const int64_t i : interactions)
    out.push_back(std::string(users_.text(user_[static_cast<size_t>(i)])) + " | " +
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
                           bool keep_duplicates, int32_t threads, ReadReport& report) {
  drop(dropped, seconds);
  EventSort sort(users_.size(), threads);
  const bool rated = !ratings_.empty();
  sort.take(std::exchange(user_, {}), std::exchange(item_, {}), std::exchange(ratings_, {}),
            std::move(seconds));
  const SortCounts counts = sort.order_events(std::ssize(catalogue_.item_ids), keep_duplicates);
  report.duplicates += counts.duplicates;
  report.ties += counts.ties;
  Dataset dataset;
  for (const int32_t user : sort.write(rated, dataset))
    dataset.user_ids.emplace_back(users_.text(user));
  dataset.order_only = report.order_only;
  dataset.catalogue = std::move(catalogue_);
  finish_titles(dataset.catalogue, report);
  return dataset;
}

}  // namespace etrlrec
