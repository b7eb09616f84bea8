// All steps work on one keep flag per event and on counts; the data set shrinks in place at the
// end. The k-core first sweeps over all events for the items that fell, which is quick but takes a
// sweep for each link of a chain; what is left after some sweeps is peeled with a stack.
#include "data/filters.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/check.h"

namespace etrlrec {
namespace {

constexpr int kSweeps = 8;

class Filter {
 public:
  explicit Filter(Dataset dataset)
      : dataset_(std::move(dataset)),
        keep_event_(dataset_.items.size(), 1),
        keep_item_(dataset_.catalogue.item_ids.size(), true),
        item_count_(keep_item_.size()),
        events_(dataset_.num_interactions()) {
    for (int64_t u = 0; u < dataset_.num_users(); ++u)
      user_count_.push_back(dataset_.user_offsets[u + 1] - dataset_.user_offsets[u]);
    for (const int32_t item : dataset_.items) ++item_count_[item];
  }

  void drop_items(const std::vector<int32_t>& items) {
    for (const int32_t item : items) keep_item_[item] = false;
    sweep([&](int64_t p) { return keep_item_[dataset_.items[p]]; });
  }

  void keep_ratings_from(float min_rating) {
    CHECK(!dataset_.ratings.empty(), kUsage, "--min-rating: the log has no rating column");
    sweep([&](int64_t p) { return !(dataset_.ratings[p] < min_rating); });
  }

  // True when something was dropped.
  bool drop_repeats() {
    const int64_t before = events_;
    int64_t last_user = -1;
    int32_t previous = -1;
    sweep_with_user([&](int64_t u, int64_t p) {
      if (std::exchange(last_user, u) != u) previous = -1;
      return std::exchange(previous, dataset_.items[p]) != dataset_.items[p];
    });
    return events_ < before;
  }

  // True when something was dropped.
  bool peel(int32_t k) {
    const int64_t before = events_;
    for (int sweeps = 0; sweeps < kSweeps; ++sweeps) {
      const bool item_fell = drop_small_items(k);
      for (int64_t u = 0; u < dataset_.num_users(); ++u)
        if (user_count_[u] > 0 && user_count_[u] < k) drop_user(u);
      if (item_fell) sweep([&](int64_t p) { return keep_item_[dataset_.items[p]]; });
      if (is_core(k)) return events_ < before;
    }
    peel_with_stack(k);
    return events_ < before;
  }

  FilterStep count(const std::string& name) const {
    FilterStep step;
    step.name = name;
    step.interactions = events_;
    step.users = std::count_if(user_count_.begin(), user_count_.end(),
                               [](int64_t count) { return count > 0; });
    step.items = std::count(keep_item_.begin(), keep_item_.end(), true);
    return step;
  }

  Dataset take() {
    const std::vector<int32_t> new_item = shrink_catalogue();
    int64_t kept = 0;
    size_t users = 0;
    for (int64_t u = 0, begin = 0; u < dataset_.num_users(); ++u) {
      const int64_t end = dataset_.user_offsets[u + 1];
      for (int64_t p = std::exchange(begin, end); p < end; ++p) {
        if (!keep_event_[p]) continue;
        dataset_.items[kept] = new_item[dataset_.items[p]];
        dataset_.times[kept] = dataset_.times[p];
        if (!dataset_.ratings.empty()) dataset_.ratings[kept] = dataset_.ratings[p];
        ++kept;
      }
      if (user_count_[u] == 0) continue;
      if (users != static_cast<size_t>(u))
        dataset_.user_ids[users] = std::move(dataset_.user_ids[u]);
      dataset_.user_offsets[++users] = kept;
    }
    dataset_.user_ids.resize(users);
    dataset_.user_offsets.resize(users + 1);
    dataset_.items.resize(static_cast<size_t>(kept));
    dataset_.times.resize(static_cast<size_t>(kept));
    if (!dataset_.ratings.empty()) dataset_.ratings.resize(static_cast<size_t>(kept));
    return std::move(dataset_);
  }

 private:
  void drop_event(int64_t user, int64_t p) {
    keep_event_[p] = 0;
    --user_count_[user];
    --item_count_[dataset_.items[p]];
    --events_;
  }
  // Drops the events that `keep` refuses.
  template <typename Keep>
  void sweep_with_user(const Keep& keep) {
    for (int64_t u = 0; u < dataset_.num_users(); ++u) {
      for (int64_t p = dataset_.user_offsets[u]; p < dataset_.user_offsets[u + 1]; ++p) {
        if (keep_event_[p] && !keep(u, p)) drop_event(u, p);
      }
    }
  }
  template <typename Keep>
  void sweep(const Keep& keep) {
    sweep_with_user([&](int64_t, int64_t p) { return keep(p); });
  }
  void drop_user(int64_t user) {
    for (int64_t p = dataset_.user_offsets[user]; p < dataset_.user_offsets[user + 1]; ++p)
      if (keep_event_[p]) drop_event(user, p);
  }
  // True when one of them has events.
  bool drop_small_items(int32_t k) {
    bool some = false;
    for (size_t i = 0; i < item_count_.size(); ++i) {
      if (item_count_[i] >= k) continue;
      keep_item_[i] = false;
      some = some || item_count_[i] > 0;
    }
    return some;
  }
  bool is_core(int32_t k) {
    return !drop_small_items(k) &&
           std::none_of(user_count_.begin(), user_count_.end(),
                        [&](int64_t count) { return count > 0 && count < k; });
  }

  void peel_with_stack(int32_t k) {
    std::vector<int64_t> user_of(dataset_.items.size()), item_offsets(keep_item_.size() + 1);
    for (int64_t u = 0; u < dataset_.num_users(); ++u)
      std::fill(user_of.begin() + dataset_.user_offsets[u],
                user_of.begin() + dataset_.user_offsets[u + 1], u);
    for (const int32_t item : dataset_.items) ++item_offsets[item + 1];
    std::partial_sum(item_offsets.begin(), item_offsets.end(), item_offsets.begin());
    std::vector<int64_t> next(item_offsets.begin(), item_offsets.end() - 1);
    std::vector<int64_t> item_events(dataset_.items.size());
    for (int64_t p = 0; p < dataset_.num_interactions(); ++p)
      item_events[next[dataset_.items[p]]++] = p;
    std::vector<int64_t> stack;  // users as u, items as -1 - i
    for (int64_t u = 0; u < dataset_.num_users(); ++u)
      if (user_count_[u] > 0 && user_count_[u] < k) stack.push_back(u);
    for (int64_t i = 0; i < std::ssize(item_count_); ++i)
      if (item_count_[i] > 0 && item_count_[i] < k) stack.push_back(-1 - i);
    const auto drop = [&](int64_t p) {
      if (!keep_event_[p]) return;
      const int32_t item = dataset_.items[p];
      drop_event(user_of[p], p);
      if (user_count_[user_of[p]] == k - 1) stack.push_back(user_of[p]);
      if (item_count_[item] == k - 1) stack.push_back(-1 - int64_t{item});
    };
    while (!stack.empty()) {
      const int64_t top = stack.back();
      stack.pop_back();
      if (top >= 0) {
        for (int64_t p = dataset_.user_offsets[top]; p < dataset_.user_offsets[top + 1]; ++p)
          drop(p);
      } else {
        const int64_t item = -1 - top;
        for (int64_t e = item_offsets[item]; e < item_offsets[item + 1]; ++e) drop(item_events[e]);
      }
    }
    drop_small_items(k);
  }

  // Returns the new index of each kept item. Attributes that no kept item has stay: indices are
  // shared with reports.
  std::vector<int32_t> shrink_catalogue() {
    Catalogue out, &in = dataset_.catalogue;
    std::vector<int32_t> new_item(keep_item_.size(), -1);
    for (int64_t i = 0; i < in.num_items(); ++i) {
      if (!keep_item_[i]) continue;
      new_item[i] = static_cast<int32_t>(out.num_items());
      const auto attributes = in.attributes_of(i);
      out.attribute_ids.insert(out.attribute_ids.end(), attributes.begin(), attributes.end());
      out.attribute_offsets.push_back(static_cast<int64_t>(out.attribute_ids.size()));
      out.item_ids.push_back(in.item_ids[i]);
      out.titles.push_back(in.titles[i]);
    }
    out.attributes = std::move(in.attributes);
    out.fields = std::move(in.fields);
    out.attribute_fields = std::move(in.attribute_fields);
    in = std::move(out);
    return new_item;
  }

  Dataset dataset_;
  std::vector<char> keep_event_;
  std::vector<bool> keep_item_;
  std::vector<int64_t> user_count_, item_count_;  // kept events
  int64_t events_;                                // kept
};

}  // namespace

Dataset filter_dataset(Dataset dataset, const FilterOptions& options,
                       std::vector<FilterStep>* steps) {
  Filter filter(std::move(dataset));
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
  Dataset out = filter.take();
  CHECK(out.num_interactions() > 0, kInput, "filters: expected interactions to remain, found none");
  return out;
}

}  // namespace etrlrec
