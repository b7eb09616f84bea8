// All steps work on one keep flag per event; the data set is rebuilt once at the end. The k-core
// peels with a stack, so it is linear in the events however many rounds the peeling takes.
#include "data/filters.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"

namespace etrlrec {
namespace {

class Filter {
 public:
  explicit Filter(const Dataset& dataset)
      : dataset_(dataset),
        keep_event_(dataset.items.size(), true),
        keep_item_(dataset.catalogue.item_ids.size(), true),
        user_of_(dataset.items.size()) {
    for (int64_t u = 0; u < dataset.num_users(); ++u) {
      std::fill(user_of_.begin() + dataset.user_offsets[u],
                user_of_.begin() + dataset.user_offsets[u + 1], static_cast<int32_t>(u));
    }
  }

  void drop_items(const std::vector<int32_t>& items) {
    for (const int32_t item : items) keep_item_[item] = false;
    for (size_t p = 0; p < keep_event_.size(); ++p) {
      if (!keep_item_[dataset_.items[p]]) keep_event_[p] = false;
    }
  }

  void keep_ratings_from(float min_rating) {
    CHECK(!dataset_.ratings.empty(), kUsage, "--min-rating: the log has no rating column");
    for (size_t p = 0; p < keep_event_.size(); ++p) {
      if (dataset_.ratings[p] < min_rating) keep_event_[p] = false;
    }
  }

  // True when something was dropped.
  bool drop_repeats() {
    bool changed = false;
    for (int64_t u = 0; u < dataset_.num_users(); ++u) {
      int32_t previous = -1;
      for (int64_t p = dataset_.user_offsets[u]; p < dataset_.user_offsets[u + 1]; ++p) {
        if (!keep_event_[p]) continue;
        if (dataset_.items[p] == previous) {
          keep_event_[p] = false;
          changed = true;
        }
        previous = dataset_.items[p];
      }
    }
    return changed;
  }

  bool peel(int32_t k) {
    group_by_item();
    std::vector<int64_t> user_count(dataset_.user_ids.size()), item_count(keep_item_.size());
    for (size_t p = 0; p < keep_event_.size(); ++p) {
      if (!keep_event_[p]) continue;
      ++user_count[user_of_[p]];
      ++item_count[dataset_.items[p]];
    }
    std::vector<int64_t> stack;  // users as u, items as -1 - i
    for (size_t u = 0; u < user_count.size(); ++u) {
      if (user_count[u] > 0 && user_count[u] < k) stack.push_back(static_cast<int64_t>(u));
    }
    for (size_t i = 0; i < item_count.size(); ++i) {
      if (item_count[i] < k) {
        keep_item_[i] = false;
        if (item_count[i] > 0) stack.push_back(-1 - static_cast<int64_t>(i));
      }
    }
    const bool changed = !stack.empty();
    const auto remove_event = [&](int64_t p) {
      if (!keep_event_[p]) return;
      keep_event_[p] = false;
      const int32_t user = user_of_[p], item = dataset_.items[p];
      if (--user_count[user] == k - 1) stack.push_back(user);
      if (--item_count[item] == k - 1) {
        keep_item_[item] = false;
        stack.push_back(-1 - int64_t{item});
      }
    };
    while (!stack.empty()) {
      const int64_t top = stack.back();
      stack.pop_back();
      if (top >= 0) {
        for (int64_t p = dataset_.user_offsets[top]; p < dataset_.user_offsets[top + 1]; ++p) {
          remove_event(p);
        }
      } else {
        const int64_t item = -1 - top;
        for (int64_t e = item_offsets_[item]; e < item_offsets_[item + 1]; ++e) {
          remove_event(item_events_[e]);
        }
      }
    }
    return changed;
  }

  FilterStep count(const std::string& name) const {
    FilterStep step;
    step.name = name;
    int32_t last_user = -1;
    for (size_t p = 0; p < keep_event_.size(); ++p) {
      if (!keep_event_[p]) continue;
      ++step.interactions;
      step.users += user_of_[p] != last_user;
      last_user = user_of_[p];
    }
    step.items = std::count(keep_item_.begin(), keep_item_.end(), true);
    return step;
  }

  Dataset rebuild() const {
    Dataset out;
    out.order_only = dataset_.order_only;
    const std::vector<int32_t> new_item = rebuild_catalogue(out.catalogue);
    for (int64_t u = 0; u < dataset_.num_users(); ++u) {
      for (int64_t p = dataset_.user_offsets[u]; p < dataset_.user_offsets[u + 1]; ++p) {
        if (!keep_event_[p]) continue;
        out.items.push_back(new_item[dataset_.items[p]]);
        out.times.push_back(dataset_.times[p]);
        if (!dataset_.ratings.empty()) out.ratings.push_back(dataset_.ratings[p]);
      }
      if (out.num_interactions() == out.user_offsets.back()) continue;
      out.user_ids.push_back(dataset_.user_ids[u]);
      out.user_offsets.push_back(out.num_interactions());
    }
    return out;
  }

 private:
  void group_by_item() {
    if (!item_offsets_.empty()) return;
    item_offsets_.assign(keep_item_.size() + 1, 0);
    for (const int32_t item : dataset_.items) ++item_offsets_[item + 1];
    std::partial_sum(item_offsets_.begin(), item_offsets_.end(), item_offsets_.begin());
    std::vector<int64_t> next(item_offsets_.begin(), item_offsets_.end() - 1);
    item_events_.resize(dataset_.items.size());
    for (size_t p = 0; p < dataset_.items.size(); ++p) {
      item_events_[next[dataset_.items[p]]++] = static_cast<int64_t>(p);
    }
  }

  // Returns the new index of each kept item. Attributes that no kept item has stay: indices are
  // shared with reports.
  std::vector<int32_t> rebuild_catalogue(Catalogue& out) const {
    const Catalogue& in = dataset_.catalogue;
    out.attributes = in.attributes;
    out.fields = in.fields;
    out.attribute_fields = in.attribute_fields;
    std::vector<int32_t> new_item(keep_item_.size(), -1);
    for (int64_t i = 0; i < in.num_items(); ++i) {
      if (!keep_item_[i]) continue;
      new_item[i] = static_cast<int32_t>(out.num_items());
      out.item_ids.push_back(in.item_ids[i]);
      out.titles.push_back(in.titles[i]);
      const auto attributes = in.attributes_of(i);
      out.attribute_ids.insert(out.attribute_ids.end(), attributes.begin(), attributes.end());
      out.attribute_offsets.push_back(static_cast<int64_t>(out.attribute_ids.size()));
    }
    return new_item;
  }

  const Dataset& dataset_;
  std::vector<bool> keep_event_, keep_item_;
  std::vector<int32_t> user_of_;
  std::vector<int64_t> item_offsets_, item_events_;
};

}  // namespace

Dataset filter_dataset(const Dataset& dataset, const FilterOptions& options,
                       std::vector<FilterStep>* steps) {
  Filter filter(dataset);
  const auto note = [&](const std::string& name) {
    if (steps) steps->push_back(filter.count(name));
  };
  note("read");
  if (!options.drop_items.empty()) {
    filter.drop_items(options.drop_items);
    note("items dropped");
  }
  if (options.min_rating) {
    filter.keep_ratings_from(*options.min_rating);
    note(fmt::format("rating >= {}", *options.min_rating));
  }
  if (options.drop_repeats) {
    filter.drop_repeats();
    note("repeats dropped");
  }
  if (options.k_core > 0) {
    while (filter.peel(options.k_core) && options.drop_repeats && filter.drop_repeats()) continue;
    note(fmt::format("{}-core", options.k_core));
  }
  Dataset out = filter.rebuild();
  CHECK(out.num_interactions() > 0, kInput, "filters: expected interactions to remain, found none");
  return out;
}

}  // namespace etrlrec
