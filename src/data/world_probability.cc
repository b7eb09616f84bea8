#include "data/world_probability.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"
#include "data/calendar.h"

namespace etrlrec {
namespace {

// What can be drawn at one moment: weights of available items and their sums.
struct Available {
  std::vector<double> weight;     // [N] 0 when not available
  std::vector<double> genre_sum;  // [genres]
  double total = 0;
};

Available available_at(const World& world, const std::vector<char>& seen, int64_t now) {
  const int32_t genres = world.options.genres;
  Available a;
  a.weight.assign(world.item_weight.size(), 0);
  a.genre_sum.assign(genres, 0);
  for (size_t i = 0; i < a.weight.size(); ++i) {
    if (seen[i] || world.release[i] > now) continue;
    a.weight[i] = world.item_weight[i];
    a.genre_sum[world.item_genre[i]] += a.weight[i];
    a.total += a.weight[i];
  }
  return a;
}

// p(item | the genre is drawn from `genres`, sequels aside) at one moment.
double item_probability(const World& world, const Available& available, int32_t item,
                        std::span<const double> genres) {
  const double weight = available.weight[item];
  if (weight <= 0) return 0;
  const int32_t genre = world.item_genre[item];
  double result = genres[genre] * weight / available.genre_sum[genre];
  for (size_t g = 0; g < genres.size(); ++g) {
    if (available.genre_sum[g] <= 0) result += genres[g] * weight / available.total;
  }
  return result;
}

// p(genre | long-term genre), [genres].
std::vector<double> genre_distribution(const World& world, const EventRule& rule, int32_t last,
                                       int32_t long_term, int64_t now) {
  std::vector<double> result = world.genre_prior;
  for (double& p : result) p *= 1 - rule.follow;
  switch (rule.genre) {
    case GenreSource::kPrior:
      break;
    case GenreSource::kSuccessorOfLast:
      result[world.genre_successor[world.item_genre[last]]] += rule.follow;
      break;
    case GenreSource::kLongTerm:
      result[long_term] += rule.follow;
      break;
    case GenreSource::kSuccessorOfLongTerm:
      result[world.genre_successor[long_term]] += rule.follow;
      break;
    case GenreSource::kSeason:
      result[world.season_genre[quarter_of_year(now)]] += rule.follow;
      break;
  }
  return result;
}

bool depends_on_long_term(const EventRule& rule) {
  return rule.genre == GenreSource::kLongTerm || rule.genre == GenreSource::kSuccessorOfLongTerm;
}

void add_drift(const World& world, const EventRule& rule, std::vector<double>& belief) {
  for (size_t g = 0; g < belief.size(); ++g) {
    belief[g] = (1 - rule.drift) * belief[g] + rule.drift * world.genre_prior[g];
  }
}

// The available next part of `last`, -1 none.
int32_t sequel_of(const World& world, const Available& available, int32_t last) {
  if (last < 0) return -1;
  const int32_t next = world.next_part[last];
  return next >= 0 && available.weight[next] > 0 ? next : -1;
}

void check_history(const World& world, std::span<const int32_t> items,
                   std::span<const int64_t> times, int64_t now) {
  CHECK(items.size() == times.size(), kInput,
        "history: expected one time per item, found {} items and {} times", items.size(),
        times.size());
  const auto num_items = static_cast<int32_t>(world.item_weight.size());
  for (size_t j = 0; j < items.size(); ++j) {
    CHECK(items[j] >= 0 && items[j] < num_items, kInput,
          "history entry {}: expected an item in 0..{}, found {}", j, num_items - 1, items[j]);
    const int64_t next = j + 1 < items.size() ? times[j + 1] : now;
    CHECK(times[j] <= next, kInput,
          "history entry {}: expected a time not after the next one ({}), found {}", j, next,
          times[j]);
  }
}

}  // namespace

std::vector<double> next_item_probabilities(const World& world, std::span<const int32_t> items,
                                            std::span<const int64_t> times, int64_t now) {
  check_history(world, items, times, now);
  const size_t num_items = world.item_weight.size();
  std::vector<double> belief = world.genre_prior;  // p(long-term genre | history so far)
  std::vector<char> seen(num_items, 0);
  std::vector<double> result(num_items, 0);
  for (size_t j = 0; j <= items.size(); ++j) {
    const int64_t time = j < items.size() ? times[j] : now;
    const int32_t last = j > 0 ? items[j - 1] : -1;
    const EventRule rule =
        rule_of(world.options, j == 0 ? GapClass::kFirst : gap_class(time - times[j - 1]));
    const Available available = available_at(world, seen, time);
    CHECK(available.total > 0, kInput,
          "history entry {}: no item is released and unseen at its time", j);
    add_drift(world, rule, belief);
    const int32_t part = rule.sequel > 0 ? sequel_of(world, available, last) : -1;
    const double sequel = part >= 0 ? rule.sequel : 0;

    if (j == items.size()) {
      std::vector<double> genres(belief.size(), 0);
      for (size_t l = 0; l < belief.size(); ++l) {
        const std::vector<double> given =
            genre_distribution(world, rule, last, static_cast<int32_t>(l), time);
        for (size_t g = 0; g < genres.size(); ++g) genres[g] += belief[l] * given[g];
      }
      for (size_t i = 0; i < num_items; ++i) {
        result[i] =
            (1 - sequel) * item_probability(world, available, static_cast<int32_t>(i), genres);
      }
      if (part >= 0) result[part] += sequel;
      break;
    }

    std::vector<double> likelihood(belief.size(), 0);  // p(item | long-term genre)
    for (size_t l = 0; l < belief.size(); ++l) {
      if (l > 0 && !depends_on_long_term(rule)) {
        likelihood[l] = likelihood[0];
        continue;
      }
      const std::vector<double> given =
          genre_distribution(world, rule, last, static_cast<int32_t>(l), time);
      likelihood[l] = (1 - sequel) * item_probability(world, available, items[j], given) +
                      (items[j] == part ? sequel : 0);
    }
    double evidence = 0;
    for (size_t l = 0; l < belief.size(); ++l) evidence += belief[l] *= likelihood[l];
    CHECK(evidence > 0, kInput,
          "history entry {}: item {} cannot occur there (seen before, not released, or excluded)",
          j, items[j]);
    for (double& p : belief) p /= evidence;
    seen[items[j]] = 1;
  }
  return result;
}

}  // namespace etrlrec
