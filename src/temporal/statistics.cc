#include "temporal/statistics.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "data/calendar.h"
#include "temporal/names.h"
#include "temporal/profile.h"
#include "temporal/series.h"

namespace etrlrec {
namespace {

constexpr int64_t kProfileEntries = 8;  // history length that precisions are measured with
constexpr int64_t kMaxPrecisionRows = 50000;

// Hits of one simple guess.
struct Guess {
  double right = 0, made = 0;
  void add(bool hit) { right += hit, made += 1; }
  double precision() const { return (right + 0.5) / (made + 10); }
};

class Counter {
 public:
  Counter(const Dataset& dataset, const Split& split) : data_(dataset), split_(split) {}

  TemporalStatistics count() {
    prepare();
    for (int64_t u = 0; u < data_.num_users(); ++u) count_user(u);
    CHECK(out_.num_events > 0, kInput, "statistics: expected training events, found none");
    for (double& share : out_.attribute_prior) share /= static_cast<double>(out_.num_events);
    out_.session_gap = out_.whole_days ? 7 * kSecondsPerDay : 1800;
    index_pairs();
    index_events();
    choose_favourites();
    const SeriesTable table = find_series(data_.catalogue);
    out_.series = table.series;
    out_.part = table.part;
    set_novelty_terciles();
    measure_precision();
    return std::move(out_);
  }

 private:
  int64_t begin_of(int64_t user) const { return data_.user_offsets[user]; }
  int64_t end_of(int64_t user) const { return split_.train_end[user]; }
  std::span<const int32_t> attributes_at(int64_t event) const {
    return data_.catalogue.attributes_of(data_.items[event]);
  }

  void prepare() {
    const auto a = static_cast<int64_t>(data_.catalogue.attributes.size());
    CHECK(a <= kMaxAttributes, kInput,
          "statistics: expected at most {} attributes, found {}\n"
          "hint: merge or drop rare attributes of the catalogue",
          kMaxAttributes, a);
    CHECK(static_cast<int64_t>(split_.train_end.size()) == data_.num_users(), kInput,
          "statistics: split.train_end: expected {} users, found {}", data_.num_users(),
          split_.train_end.size());
    out_.num_attributes = a;
    out_.attribute_prior.assign(a, 0);
    out_.attribute_transition.assign(a * a, 0);
    out_.transition_from.assign(a, 0);
    out_.seasonal.assign(4 * a, 0);
    out_.item_count.assign(data_.catalogue.num_items(), 0);
    out_.whole_days = true;
  }

  void count_user(int64_t user) {
    for (int64_t e = begin_of(user); e < end_of(user); ++e) {
      const int64_t time = data_.times[e];
      out_.train_end_time = out_.num_events == 0 ? time : std::max(out_.train_end_time, time);
      ++out_.num_events;
      out_.item_count[data_.items[e]] += 1;
      out_.whole_days = out_.whole_days && time % kSecondsPerDay == 0;
      const int32_t season = season_index(time);
      out_.seasonal_events[season] += 1;
      for (const int32_t a : attributes_at(e)) {
        out_.attribute_prior[a] += 1;
        out_.seasonal[season * out_.num_attributes + a] += 1;
      }
      if (e > begin_of(user) && data_.times[e - 1] < time) count_transition(e - 1, e);
    }
  }

  void count_transition(int64_t from, int64_t to) {
    for (const int32_t a : attributes_at(from)) {
      out_.transition_from[a] += 1;
      for (const int32_t b : attributes_at(to))
        out_.attribute_transition[a * out_.num_attributes + b] += 1;
    }
    pairs_.push_back(static_cast<uint64_t>(data_.items[from]) << 32 |
                     static_cast<uint32_t>(data_.items[to]));
  }

  void index_pairs() {
    std::sort(pairs_.begin(), pairs_.end());
    out_.pair_offsets.assign(data_.catalogue.num_items() + 1, 0);
    for (size_t i = 0; i < pairs_.size();) {
      size_t end = i;
      while (end < pairs_.size() && pairs_[end] == pairs_[i]) ++end;
      if (end - i >= 2) {
        ++out_.pair_offsets[(pairs_[i] >> 32) + 1];
        out_.pair_items.push_back(static_cast<int32_t>(pairs_[i] & 0xFFFFFFFF));
        out_.pair_counts.push_back(static_cast<int32_t>(end - i));
      }
      i = end;
    }
    for (size_t i = 1; i < out_.pair_offsets.size(); ++i)
      out_.pair_offsets[i] += out_.pair_offsets[i - 1];
    pairs_ = {};
  }

  void index_events() {
    const int64_t n = data_.catalogue.num_items();
    out_.event_offsets.assign(n + 1, 0);
    for (int64_t i = 0; i < n; ++i)
      out_.event_offsets[i + 1] = out_.event_offsets[i] + static_cast<int64_t>(out_.item_count[i]);
    out_.event_times.resize(out_.event_offsets[n]);
    std::vector<int64_t> next(out_.event_offsets.begin(), out_.event_offsets.end() - 1);
    for (int64_t u = 0; u < data_.num_users(); ++u)
      for (int64_t e = begin_of(u); e < end_of(u); ++e) {
        const int32_t item = data_.items[e];
        out_.event_times[next[item]++] = data_.times[e];
      }
    for (int64_t i = 0; i < n; ++i)
      std::sort(out_.event_times.begin() + out_.event_offsets[i],
                out_.event_times.begin() + out_.event_offsets[i + 1]);
  }

  // Among attributes b of a field: the largest share(b) * log lift(b) with a lift of at least
  // `least`.
  template <typename Lift>
  int32_t favourite(int32_t field, double least, const Lift& lift_of) const {
    int32_t best = -1;
    double best_score = 0;
    for (int32_t b = 0; b < out_.num_attributes; ++b) {
      if (data_.catalogue.attribute_fields[b] != field) continue;
      const double lift = lift_of(b);
      if (lift < least) continue;
      const double score = lift * out_.attribute_prior[b] * std::log(lift);
      if (score > best_score) best_score = score, best = b;
    }
    return best;
  }

  void choose_favourites() {
    const auto& fields = data_.catalogue.attribute_fields;
    const auto num_fields = static_cast<int32_t>(data_.catalogue.fields.size());
    out_.likely_successor.assign(out_.num_attributes, -1);
    for (int32_t a = 0; a < out_.num_attributes; ++a)
      out_.likely_successor[a] = favourite(fields[a], kTransitionLift,
                                           [&](int32_t b) { return transition_lift(out_, a, b); });
    for (int32_t season = 0; season < 4; ++season)
      for (int32_t field = 0; field < num_fields; ++field)
        out_.season_favourite.push_back(favourite(
            field, kSeasonLift, [&](int32_t b) { return seasonal_lift(out_, season, b); }));
  }

  void set_novelty_terciles() {
    std::vector<double> values;
    for (int64_t u = 0; u < data_.num_users(); ++u) {
      const int64_t begin = std::max(begin_of(u), end_of(u) - kProfileEntries);
      const double share = novelty_share(data_.catalogue, events(begin, end_of(u)));
      if (share >= 0) values.push_back(share);
    }
    if (values.empty()) return;
    std::sort(values.begin(), values.end());
    out_.novelty_low = values[(values.size() - 1) / 3];
    out_.novelty_high = values[(values.size() - 1) * 2 / 3];
  }

  std::span<const int32_t> events(int64_t begin, int64_t end) const {
    return {data_.items.data() + begin, static_cast<size_t>(std::max<int64_t>(end - begin, 0))};
  }

  void measure_precision() {
    const int64_t stride = out_.num_events / kMaxPrecisionRows + 1;
    int64_t row = 0;
    for (int64_t u = 0; u < data_.num_users(); ++u)
      for (int64_t e = begin_of(u) + 1; e < end_of(u); ++e)
        if (row++ % stride == 0) try_guesses(u, e);
    out_.precision = {transition_.precision(), long_term_.precision(), season_.precision(),
                      recent_.precision(), sequel_.precision()};
  }

  void try_guesses(int64_t user, int64_t event) {
    const Catalogue& catalogue = data_.catalogue;
    const int32_t item = data_.items[event], last = data_.items[event - 1];
    const int32_t lead = lead_attribute(catalogue, last, 0);
    if (lead >= 0 && out_.likely_successor[lead] >= 0)
      transition_.add(has_attribute(catalogue, item, out_.likely_successor[lead]));
    const int64_t begin = std::max(begin_of(user), event - kProfileEntries);
    const auto weights = visit_weights(std::span(data_.times).subspan(begin, event - begin));
    const auto leaders = leading_attributes(catalogue, events(begin, event), weights);
    const int32_t lasting = leader_of(leaders, catalogue, 0);
    if (lasting >= 0) long_term_.add(has_attribute(catalogue, item, lasting));
    const int32_t field = season_field(catalogue);
    const auto num_fields = static_cast<int32_t>(catalogue.fields.size());
    if (num_fields > 0) {
      const int32_t season = season_index(data_.times[event]);
      const int32_t favoured = out_.season_favourite[season * num_fields + field];
      if (favoured >= 0) season_.add(has_attribute(catalogue, item, favoured));
      const int32_t recent = lead_attribute(catalogue, last, field);
      if (recent >= 0) recent_.add(has_attribute(catalogue, item, recent));
    }
    if (offers_sequel(user, event)) sequel_.add(is_sequel(out_, last, item));
  }

  // The last item has a next part in the catalogue that this user has not seen before.
  bool offers_sequel(int64_t user, int64_t event) {
    const int32_t last = data_.items[event - 1];
    if (out_.series[last] < 0) return false;
    const auto seen = events(begin_of(user), event);
    if (parts_of_.empty()) parts_of_.resize(out_.series.size());
    auto& parts = parts_of_[out_.series[last]];
    if (parts.empty())
      for (int64_t i = 0; i < data_.catalogue.num_items(); ++i)
        if (out_.series[i] == out_.series[last]) parts.push_back(static_cast<int32_t>(i));
    return std::any_of(parts.begin(), parts.end(), [&](int32_t next) {
      return is_sequel(out_, last, next) && std::find(seen.begin(), seen.end(), next) == seen.end();
    });
  }

  const Dataset& data_;
  const Split& split_;
  TemporalStatistics out_;
  std::vector<uint64_t> pairs_;
  std::vector<std::vector<int32_t>> parts_of_;  // [N] by series id, filled on demand
  Guess transition_, long_term_, season_, recent_, sequel_;
};

}  // namespace

TemporalStatistics count_statistics(const Dataset& dataset, const Split& split) {
  return Counter(dataset, split).count();
}

double transition_lift(const TemporalStatistics& s, int32_t from, int32_t to) {
  const double prior = s.attribute_prior[to];
  if (prior <= 0) return 0;
  const double count = s.attribute_transition[from * s.num_attributes + to];
  const double share = (count + s.smoothing * prior) / (s.transition_from[from] + s.smoothing);
  return share / prior;
}

double seasonal_lift(const TemporalStatistics& s, int32_t season, int32_t attribute) {
  const double prior = s.attribute_prior[attribute];
  if (prior <= 0) return 0;
  const double count = s.seasonal[season * s.num_attributes + attribute];
  const double share = (count + s.smoothing * prior) / (s.seasonal_events[season] + s.smoothing);
  return share / prior;
}

double item_pair_lift(const TemporalStatistics& s, int32_t from, int32_t to) {
  const auto begin = s.pair_items.begin() + s.pair_offsets[from];
  const auto end = s.pair_items.begin() + s.pair_offsets[from + 1];
  const auto found = std::lower_bound(begin, end, to);
  if (found == end || *found != to) return 0;
  const double count = s.pair_counts[found - s.pair_items.begin()];
  if (count < kTriggerSupport) return 0;
  const double prior = s.item_count[to] / static_cast<double>(s.num_events);
  return (count + s.smoothing * prior) / (s.item_count[from] + s.smoothing) / prior;
}

int64_t events_between(const TemporalStatistics& s, int32_t item, int64_t since, int64_t time) {
  const auto begin = s.event_times.begin() + s.event_offsets[item];
  const auto end = s.event_times.begin() + s.event_offsets[item + 1];
  return std::lower_bound(begin, end, time) - std::lower_bound(begin, end, std::min(since, time));
}

bool is_sequel(const TemporalStatistics& s, int32_t earlier, int32_t later) {
  return s.series[earlier] >= 0 && s.series[earlier] == s.series[later] &&
         s.part[later] == s.part[earlier] + 1;
}

}  // namespace etrlrec
