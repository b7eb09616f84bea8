// Where popularity counts, rows are visited by request time while a sweep over the log keeps
// popularity and liveness as of that time in a Fenwick tree: a draw costs O(log N). Else every item
// weighs the same at all times, a draw is a look into a list, and threads share the rows. Draws are
// by rejection; where few items are left, the exact remaining weights are listed.
#include "data/candidates.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/rng.h"
#include "base/sha256.h"
#include "data/histories.h"
#include "data/thread_group.h"

namespace etrlrec {
namespace {

// In the order of CandidateKind.
constexpr const char* kKindNames[] = {"uniform", "popular",   "hard", "cold",
                                      "trained", "catalogue", "alive"};

constexpr double kPopularityPower = 0.75;
constexpr double kToCome = 1e-9;  // weight of what nobody has chosen yet, beside 1
constexpr int32_t kTriesPerNegative = 20;

// Weights by item with O(log N) update and draw.
class WeightTree {
 public:
  explicit WeightTree(size_t size) : weights_(size), sums_(size + 1) {
    while (2 * top_ <= size) top_ *= 2;
  }
  void set(size_t i, double weight) {
    const double change = weight - weights_[i];
    weights_[i] = weight;
    total_ += change;
    for (size_t k = i + 1; k < sums_.size(); k += k & (~k + 1)) sums_[k] += change;
  }
  double weight(size_t i) const { return weights_[i]; }
  double total() const { return total_; }
  // The item in whose interval of the cumulated weights `point` lies; size() where rounding leads
  // past the end.
  size_t find(double point) const {
    size_t i = 0;
    for (size_t step = top_; step > 0; step /= 2) {
      if (i + step < sums_.size() && sums_[i + step] <= point) {
        i += step;
        point -= sums_[i];
      }
    }
    return i;
  }
  size_t size() const { return weights_.size(); }

 private:
  std::vector<double> weights_, sums_;
  double total_ = 0;
  size_t top_ = 1;
};

// First position of each title in a user's sequence; "does the user know this title at position p"
// in O(log n).
class UserPast {
 public:
  UserPast(const Dataset& dataset, const std::vector<int32_t>& canonical)
      : offsets_(dataset.user_offsets), first_(dataset.items.size()) {
    for (int64_t u = 0; u < dataset.num_users(); ++u) {
      for (int64_t p = offsets_[u]; p < offsets_[u + 1]; ++p) {
        first_[p] = {canonical[dataset.items[p]], p};
      }
      std::sort(first_.begin() + offsets_[u], first_.begin() + offsets_[u + 1]);
    }
  }
  // True when an interaction of the user at or before `row.position` has this title.
  bool knows(const Row& row, int32_t title) const {
    const auto end = first_.begin() + offsets_[row.user + 1];
    const auto found = std::lower_bound(first_.begin() + offsets_[row.user], end,
                                        std::pair<int32_t, int64_t>(title, -1));
    return found != end && found->first == title && found->second <= row.position;
  }
  void prefetch(int32_t) const {}

 private:
  const std::vector<int64_t>& offsets_;
  std::vector<std::pair<int32_t, int64_t>> first_;
};

// The same for one thread that asks for rows by user and position: titles are marked as it goes on.
class KnownTitles {
 public:
  KnownTitles(const Dataset& dataset, const std::vector<int32_t>& canonical)
      : dataset_(dataset), canonical_(canonical), marks_(canonical.size(), -1) {}
  void go_to(const Row& row) {
    if (row.user != user_ || row.position < reached_)
      reached_ = dataset_.user_offsets[user_ = row.user], ++mark_;
    for (; reached_ <= row.position; ++reached_)
      marks_[canonical_[dataset_.items[reached_]]] = mark_;
  }
  bool knows(const Row&, int32_t title) const { return marks_[title] == mark_; }
  void prefetch(int32_t title) const { __builtin_prefetch(&marks_[title]); }

 private:
  const Dataset& dataset_;
  const std::vector<int32_t>& canonical_;
  std::vector<int32_t> marks_;  // of the last user who knows each title
  int32_t mark_ = -1;
  int64_t reached_ = 0;
  int32_t user_ = -1;
};

// Items that may be drawn at a time, with their weights; time moves forward only.
class Pool {
 public:
  Pool(const Dataset& dataset, const Split& split, CandidateKind kind)
      : dataset_(dataset),
        split_(split),
        popularity_power_(kind == CandidateKind::kAlive ? 0 : kPopularityPower),
        tree_(dataset.catalogue.item_ids.size()),
        train_count_(tree_.size()) {
    std::vector<int32_t> later_count(tree_.size());
    for_each_event(
        [&](int64_t p, bool train) { ++(train ? train_count_ : later_count)[dataset_.items[p]]; });
    for (size_t i = 0; i < tree_.size(); ++i) {
      const bool cold = train_count_[i] == 0 && later_count[i] > 0;
      cold_.push_back(cold);
      if (const double weight = first_weight(kind, train_count_[i] > 0, cold); weight > 0)
        add(i, weight);
    }
    if (!moves(kind)) {
      for (size_t i = 0; i < tree_.size(); ++i)
        if (tree_.weight(i) > 0) equal_.push_back(static_cast<int32_t>(i));
      return;
    }
    std::fill(train_count_.begin(), train_count_.end(), 0);
    for_each_event([&](int64_t p, bool train) { events_.push_back({p, train}); });
    std::stable_sort(events_.begin(), events_.end(), [&](const Event& a, const Event& b) {
      return dataset_.times[a.position] < dataset_.times[b.position];
    });
  }

  void advance_to(int64_t now) {
    for (; next_ < events_.size() && dataset_.times[events_[next_].position] < now; ++next_) {
      const int32_t item = dataset_.items[events_[next_].position];
      train_count_[item] += events_[next_].train;
      add(item, std::pow(std::max(train_count_[item], 1), popularity_power_));
    }
  }

  // Whether weights of this kind change with time.
  static bool moves(CandidateKind kind) {
    return kind == CandidateKind::kPopular || kind == CandidateKind::kMixedHard ||
           kind == CandidateKind::kAlive;
  }

  const WeightTree& tree() const { return tree_; }
  // An item by its weight; -1 where rounding leads past the end. Equal weights are whole numbers,
  // so that the list gives what the tree would.
  int32_t draw(Rng& rng) const {
    const double point = rng.uniform() * tree_.total();
    if (!equal_.empty()) {
      const auto i = static_cast<size_t>(point);
      return i < equal_.size() ? equal_[i] : -1;
    }
    const size_t item = tree_.find(point);
    return item < tree_.size() && tree_.weight(item) > 0 ? static_cast<int32_t>(item) : -1;
  }
  // Chosen by somebody, but not in the training part.
  bool cold(int32_t item) const { return cold_[static_cast<size_t>(item)]; }
  int64_t num_alive() const { return num_alive_; }

 private:
  struct Event {
    int64_t position;
    bool train;
  };
  template <typename OnEvent>
  void for_each_event(const OnEvent& on_event) const {
    for (int64_t u = 0; u < dataset_.num_users(); ++u) {
      for (int64_t p = dataset_.user_offsets[u]; p < dataset_.user_offsets[u + 1]; ++p) {
        on_event(p, p < split_.train_end[u]);
      }
    }
  }
  // Weight of an item before any event; `trained`: it has a training interaction.
  static double first_weight(CandidateKind kind, bool trained, bool cold) {
    switch (kind) {
      case CandidateKind::kUniform:
        return trained || cold ? 1 : 0;
      case CandidateKind::kTrained:
        return trained ? 1 : 0;
      case CandidateKind::kCatalogue:
        return 1;
      case CandidateKind::kAlive:
        return trained || cold ? kToCome : 0;
      case CandidateKind::kPopular:
      case CandidateKind::kMixedHard:
      case CandidateKind::kCold:
        break;
    }
    return cold ? 1 : 0;
  }
  void add(size_t item, double weight) {
    num_alive_ += tree_.weight(item) == 0;
    tree_.set(item, weight);
  }

  const Dataset& dataset_;
  const Split& split_;
  double popularity_power_;
  WeightTree tree_;
  std::vector<int32_t> train_count_;
  std::vector<bool> cold_;
  std::vector<int32_t> equal_;  // items of weight 1, where no other weights occur
  std::vector<Event> events_;
  size_t next_ = 0;
  int64_t num_alive_ = 0;
};

// Rows by request time, the order in which a Pool can serve them.
std::vector<size_t> rows_by_time(const Dataset& dataset, std::span<const Row> rows) {
  std::vector<size_t> order(rows.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return dataset.times[rows[a].position] < dataset.times[rows[b].position];
  });
  return order;
}

// Draws the negatives of one row.
template <typename Past>
class RowDraw {
 public:
  RowDraw(const Pool& pool, const Past& past, const std::vector<int32_t>& canonical, const Row& row,
          Rng& rng)
      : pool_(pool), past_(past), canonical_(canonical), row_(row), rng_(rng) {}

  std::vector<int32_t> take_negatives() { return std::move(negatives_); }

  void take_from(const std::vector<int32_t>& top, size_t count) {
    std::vector<int32_t> allowed = top;
    std::erase_if(allowed, [&](int32_t item) { return past_.knows(row_, canonical_[item]); });
    rng_.shuffle(allowed);
    for (const int32_t item : allowed) {
      if (negatives_.size() == count) return;
      take(item);
    }
  }

  // Fills up to `count`; fewer remain in negatives() only when there are no more.
  void fill(size_t count) {
    negatives_.reserve(count + 1);
    titles_.reserve(count);
    size_t tries = kTriesPerNegative * count;
    while (tries > 0 && negatives_.size() < count) {
      // As many draws as are needed at least, step by step: their cache misses overlap.
      drawn_.resize(std::min(tries, count - negatives_.size()));
      tries -= drawn_.size();
      for (int32_t& item : drawn_) item = pool_.draw(rng_);
      for (const int32_t item : drawn_)
        if (item >= 0) past_.prefetch(canonical_[item]);
      for (const int32_t item : drawn_)
        if (item >= 0) take(item);
    }
    if (negatives_.size() < count) fill_exactly(count);
  }

 private:
  bool is_free(int32_t item) const {
    const int32_t title = canonical_[item];
    return !past_.knows(row_, title) &&
           std::find(titles_.begin(), titles_.end(), title) == titles_.end();
  }
  void take(int32_t item) {
    if (!is_free(item)) return;
    negatives_.push_back(item);
    titles_.push_back(canonical_[item]);
  }
  void fill_exactly(size_t count) {
    const WeightTree& tree = pool_.tree();
    std::vector<int32_t> items;
    std::vector<double> weights;
    for (size_t i = 0; i < tree.size(); ++i) {
      if (tree.weight(i) > 0 && is_free(static_cast<int32_t>(i))) {
        items.push_back(static_cast<int32_t>(i));
        weights.push_back(tree.weight(i));
      }
    }
    size_t left = items.size();
    while (negatives_.size() < count && left > 0) {
      const int32_t chosen = items[rng_.weighted(weights)];
      negatives_.push_back(chosen);
      for (size_t k = 0; k < items.size(); ++k) {
        if (weights[k] == 0 || canonical_[items[k]] != canonical_[chosen]) continue;
        weights[k] = 0;
        --left;
      }
    }
  }

  const Pool& pool_;
  const Past& past_;
  const std::vector<int32_t>& canonical_;
  const Row& row_;
  Rng& rng_;
  std::vector<int32_t> negatives_, titles_, drawn_;
};

std::vector<size_t> rows_by_position(std::span<const Row> rows) {
  std::vector<size_t> order(rows.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const auto earlier = [&](size_t a, size_t b) { return rows[a].position < rows[b].position; };
  if (!std::is_sorted(order.begin(), order.end(), earlier))
    std::stable_sort(order.begin(), order.end(), earlier);
  return order;
}

// Draws for row r of the set, and writes what was drawn to its place.
struct SetDraw {
  const Dataset& dataset;
  const std::vector<int32_t>& canonical;
  const Pool& pool;
  CandidateSet& set;

  template <typename Past>
  void operator()(const Past& past, size_t r, const std::vector<int32_t>* top) const {
    const CandidateOptions& options = set.options;
    const auto count = static_cast<size_t>(options.count);
    const Row& row = set.rows[r];
    CHECK(options.kind != CandidateKind::kCold || pool.cold(dataset.items[row.position]), kInput,
          "candidates: expected cold targets, found an item with a training interaction in row {}",
          r);
    const std::string stream = std::string("candidates/") + candidate_kind_name(options.kind);
    Rng rng(options.seed, stream, static_cast<uint64_t>(row.position));
    RowDraw<Past> draw(pool, past, canonical, row, rng);
    if (top != nullptr) draw.take_from(*top, (count - 1) / 2);
    draw.fill(count - 1);
    std::vector<int32_t> negatives = draw.take_negatives();
    CHECK(negatives.size() == count - 1, kInput,
          "candidates: expected {} possible negatives for interaction {} of user \"{}\", found "
          "{}\nhint: --num-candidates {}",
          count - 1, row.position - dataset.user_offsets[row.user], dataset.user_ids[row.user],
          negatives.size(), negatives.size() + 1);
    rng.shuffle(negatives);
    const auto slot = static_cast<int32_t>(rng.below(count));
    negatives.insert(negatives.begin() + slot, dataset.items[row.position]);
    std::copy(negatives.begin(), negatives.end(),
              set.items.begin() + static_cast<int64_t>(r * count));
    set.slots[r] = slot;
  }
};

void check_rows(const Dataset& dataset, std::span<const Row> rows,
                const CandidateOptions& options) {
  CHECK(options.count >= 2, kUsage, "--num-candidates: expected at least 2, found {}",
        options.count);
  for (const Row& row : rows) {
    CHECK(row.user >= 0 && row.user < dataset.num_users() &&
              row.position >= dataset.user_offsets[row.user] &&
              row.position < dataset.user_offsets[row.user + 1],
          kInput, "candidates: row ({}, {}) lies outside the data set", row.user, row.position);
  }
}

template <typename T>
void append_bytes(std::string& out, const T& value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(T));
}

}  // namespace

CandidateSet draw_candidates(const Dataset& dataset, const Split& split, std::span<const Row> rows,
                             const CandidateOptions& options,
                             std::span<const std::vector<int32_t>> recommender_top,
                             int32_t asked_threads) {
  check_rows(dataset, rows, options);
  const bool hard = options.kind == CandidateKind::kMixedHard;
  CHECK(!hard || recommender_top.size() == rows.size(), kInput,
        "candidates: expected a recommender's top list for each of {} rows, found {}", rows.size(),
        recommender_top.size());
  const auto canonical = canonical_items(dataset.catalogue);
  Pool pool(dataset, split, options.kind);
  CandidateSet set;
  set.options = options;
  set.protocol = split.protocol;
  set.rows.assign(rows.begin(), rows.end());
  set.items.resize(rows.size() * static_cast<size_t>(options.count));
  set.slots.resize(rows.size());
  const SetDraw draw{dataset, canonical, pool, set};
  if (Pool::moves(options.kind)) {
    const UserPast past(dataset, canonical);
    for (const size_t r : rows_by_time(dataset, rows)) {
      pool.advance_to(dataset.times[rows[r].position]);
      draw(past, r, hard ? &recommender_top[r] : nullptr);
    }
  } else {
    const std::vector<size_t> order = rows_by_position(rows);
    const int32_t threads = thread_count(asked_threads);
    run_threads(threads, [&](int32_t t) {
      KnownTitles past(dataset, canonical);
      const size_t begin = order.size() * static_cast<size_t>(t) / static_cast<size_t>(threads);
      const size_t end = order.size() * (static_cast<size_t>(t) + 1) / static_cast<size_t>(threads);
      for (size_t i = begin; i < end; ++i) {
        past.go_to(rows[order[i]]);
        draw(past, order[i], nullptr);
      }
    });
  }
  set.hash = candidate_hash(set);
  return set;
}

std::vector<Row> cold_targets(const Dataset& dataset, const Split& split,
                              std::span<const Row> rows) {
  const Pool pool(dataset, split, CandidateKind::kCold);
  std::vector<Row> cold;
  std::copy_if(rows.begin(), rows.end(), std::back_inserter(cold),
               [&](const Row& row) { return pool.cold(dataset.items[row.position]); });
  return cold;
}

std::vector<int32_t> count_negatives(const Dataset& dataset, const Split& split,
                                     std::span<const Row> rows, const CandidateOptions& options) {
  check_rows(dataset, rows, options);
  const auto canonical = canonical_items(dataset.catalogue);
  std::optional<UserPast> past;  // few rows ask for it
  Pool pool(dataset, split, options.kind);
  int64_t shared_titles = 0;
  for (size_t i = 0; i < canonical.size(); ++i) shared_titles += canonical[i] != int32_t(i);
  std::vector<int32_t> counts(rows.size());
  std::vector<size_t> marked(canonical.size(), SIZE_MAX);  // title -> row that counted it last
  for (const size_t r : rows_by_time(dataset, rows)) {
    const Row& row = rows[r];
    pool.advance_to(dataset.times[row.position]);
    const int64_t known = row.position - dataset.user_offsets[row.user] + 1;
    if (pool.num_alive() - shared_titles - known >= options.count - 1) {
      counts[r] = options.count - 1;
      continue;
    }
    if (!past) past.emplace(dataset, canonical);
    for (size_t i = 0; i < canonical.size() && counts[r] < options.count - 1; ++i) {
      const int32_t title = canonical[i];
      if (pool.tree().weight(i) == 0 || marked[title] == r || past->knows(row, title)) continue;
      marked[title] = r;
      ++counts[r];
    }
  }
  return counts;
}

Request make_request(const Dataset& dataset, const CandidateSet& set, int64_t r,
                     int32_t max_history) {
  CHECK(r >= 0 && static_cast<size_t>(r) < set.rows.size(), kInput,
        "candidates: expected a row below {}, found {}", set.rows.size(), r);
  const Row& row = set.rows[r];
  Request request = request_after(dataset, row.user, row.position, max_history);
  request.now = dataset.times[row.position];
  const int64_t count = set.options.count;
  request.candidates.assign(set.items.begin() + r * count, set.items.begin() + (r + 1) * count);
  request.target_slot = set.slots[r];
  return request;
}

std::string candidate_hash(const CandidateSet& set) {
  std::string bytes = fmt::format("{}\n{}\n{}\n{}\n", candidate_kind_name(set.options.kind),
                                  set.options.count, set.options.seed, set.protocol);
  bytes.reserve(bytes.size() + 16 * set.rows.size() + 4 * set.items.size());
  for (const Row& row : set.rows) {
    append_bytes(bytes, row.user);
    append_bytes(bytes, row.position);
  }
  for (const auto* column : {&set.items, &set.slots})
    bytes.append(reinterpret_cast<const char*>(column->data()), 4 * column->size());
  return sha256_hex(bytes);
}

const char* candidate_kind_name(CandidateKind kind) {
  return kKindNames[static_cast<size_t>(kind)];
}

std::vector<std::string> candidate_kind_names() {
  return {std::begin(kKindNames), std::end(kKindNames)};
}

CandidateKind candidate_kind(const std::string& name) {
  for (size_t kind = 0; kind < std::size(kKindNames); ++kind)
    if (name == kKindNames[kind]) return static_cast<CandidateKind>(kind);
  fail(ExitCode::kUsage, "unknown candidates \"{}\"; known: {}", name, fmt::join(kKindNames, ", "));
}

}  // namespace etrlrec
