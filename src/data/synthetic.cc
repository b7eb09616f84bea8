// Generator of the synthetic world: rules, catalogue, time lines and events. The contract is in
// synthetic.h; exact probabilities of the same rules are in world_probability.cc, world.json in
// world_file.cc.
#include "data/synthetic.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "base/check.h"
#include "data/calendar.h"

namespace etrlrec {
namespace {

constexpr int64_t kMinute = 60, kHour = 3600, kDay = 86400;
constexpr int64_t kLogStart = 1672531200;  // 2023-01-01
constexpr int64_t kLogLength = 730 * kDay;
constexpr int64_t kLongestShortGap = 7 * kDay, kLongestPause = 30 * kDay;

constexpr std::array<std::string_view, 20> kGenres = {
    "drama",   "comedy",  "crime",  "horror", "western", "fantasy",   "romance",
    "mystery", "history", "music",  "sports", "war",     "adventure", "family",
    "travel",  "science", "nature", "magic",  "space",   "school"};
constexpr std::array<std::string_view, 60> kAdjectives = {
    "Hollow",   "Silent",  "Golden",   "Broken",   "Crimson", "Distant",   "Frozen",   "Hidden",
    "Iron",     "Lonely",  "Midnight", "Northern", "Pale",    "Quiet",     "Restless", "Scarlet",
    "Shallow",  "Stolen",  "Sudden",   "Twisted",  "Velvet",  "Wandering", "White",    "Burning",
    "Crooked",  "Emerald", "Empty",    "Fallen",   "Gilded",  "Lost",      "Narrow",   "Open",
    "Rusty",    "Second",  "Secret",   "Tall",     "Last",    "Ancient",   "Blue",     "Brave",
    "Copper",   "Deep",    "Eastern",  "Faded",    "First",   "Green",     "Heavy",    "Inner",
    "Little",   "Long",    "Marble",   "Outer",    "Patient", "Red",       "Sacred",   "Silver",
    "Southern", "Tender",  "Upper",    "Young"};
constexpr std::array<std::string_view, 60> kNouns = {
    "River",   "Garden", "Tower",   "Road",   "Mirror", "House",   "Island",  "Forest",  "Letter",
    "Bridge",  "Storm",  "Shadow",  "Valley", "Crown",  "Stone",   "Window",  "Lantern", "Harvest",
    "Signal",  "Ocean",  "Village", "Clock",  "Train",  "Door",    "Feather", "Station", "Voyage",
    "Castle",  "Desert", "Engine",  "Field",  "Ghost",  "Horizon", "Kingdom", "Ladder",  "Meadow",
    "Orchard", "Palace", "Whisper", "Harbor", "Anchor", "Arrow",   "Bell",    "Canyon",  "Circle",
    "Dream",   "Echo",   "Flame",   "Gate",   "Hill",   "Key",     "Lake",    "Map",     "Night",
    "Path",    "Rain",   "Ship",    "Song",   "Star",   "Wall"};

void check_probability(const char* name, double value) {
  CHECK(value >= 0 && value <= 1, kUsage, "{}: expected a probability in [0, 1], found {}", name,
        value);
}

void check_options(const WorldOptions& o) {
  CHECK(o.users >= 1 && o.users <= 100'000'000, kUsage, "users: expected 1 to 100000000, found {}",
        o.users);
  CHECK(o.genres >= 2 && o.genres <= static_cast<int32_t>(kGenres.size()), kUsage,
        "genres: expected 2 to {}, found {}", kGenres.size(), o.genres);
  CHECK(o.items >= o.genres && o.items <= 100'000, kUsage,
        "items: expected {} (one per genre) to 100000, found {}", o.genres, o.items);
  CHECK(o.mean_events >= 2 && o.mean_events <= 500, kUsage,
        "mean_events: expected 2 to 500, found {}", o.mean_events);
  CHECK(1.75 * o.mean_events < 0.8 * (1 - o.late_share) * static_cast<double>(o.items), kUsage,
        "mean_events: {} is too many for {} items of which {} appear late: users never see an item "
        "twice",
        o.mean_events, o.items, o.late_share);
  check_probability("short_gap", o.short_gap);
  check_probability("follow_transition", o.follow_transition);
  check_probability("follow_long_term", o.follow_long_term);
  check_probability("follow_season", o.follow_season);
  check_probability("sequel", o.sequel);
  check_probability("drift", o.drift);
  check_probability("series_share", o.series_share);
  check_probability("late_share", o.late_share);
  CHECK(o.popularity_spread >= 0 && o.popularity_spread <= 5, kUsage,
        "popularity_spread: expected 0 to 5, found {}", o.popularity_spread);
  CHECK(o.informative == "all" || o.informative == "order" || o.informative == "gaps" ||
            o.informative == "season",
        kUsage, "informative: expected all, order, gaps or season, found \"{}\"", o.informative);
}

void draw_rules(World& world) {
  const WorldOptions& o = world.options;
  Rng rng(o.seed, "world.rules");
  // One random cycle through all genres (Sattolo), so that no genre succeeds itself.
  world.genre_successor.resize(o.genres);
  for (int32_t g = 0; g < o.genres; ++g) world.genre_successor[g] = g;
  for (size_t i = o.genres; i-- > 1;)
    std::swap(world.genre_successor[i], world.genre_successor[rng.below(i)]);
  std::vector<int32_t> genres(o.genres);
  for (int32_t g = 0; g < o.genres; ++g) genres[g] = g;
  rng.shuffle(genres);
  for (int32_t quarter = 0; quarter < 4; ++quarter)
    world.season_genre.push_back(genres[quarter % o.genres]);
  double sum = 0;
  for (int32_t g = 0; g < o.genres; ++g) {
    world.genre_prior.push_back(std::exp(0.25 * rng.normal()));
    sum += world.genre_prior.back();
  }
  for (double& p : world.genre_prior) p /= sum;
}

// `count` unique titles: two words, three once all pairs are used up.
std::vector<std::string> draw_titles(int64_t count, Rng& rng) {
  std::vector<std::string> titles;
  for (const auto adjective : kAdjectives) {
    for (const auto noun : kNouns) titles.push_back(fmt::format("{} {}", adjective, noun));
  }
  rng.shuffle(titles);
  const size_t pairs = titles.size();
  if (count > static_cast<int64_t>(pairs)) {
    for (const auto first : kAdjectives) {
      for (const auto second : kAdjectives) {
        if (first == second) continue;
        for (const auto noun : kNouns)
          titles.push_back(fmt::format("{} {} {}", first, second, noun));
      }
    }
    for (size_t i = titles.size(); i > pairs + 1; --i)
      std::swap(titles[i - 1], titles[pairs + rng.below(i - pairs)]);
  }
  titles.resize(count);
  return titles;
}

void add_item(World& world, std::string title, int32_t genre, int64_t release, double weight) {
  Catalogue& catalogue = world.dataset.catalogue;
  catalogue.item_ids.push_back(fmt::format("i{}", catalogue.item_ids.size() + 1));
  catalogue.titles.push_back(std::move(title));
  catalogue.attribute_ids.push_back(genre);
  catalogue.attribute_offsets.push_back(static_cast<int64_t>(catalogue.attribute_ids.size()));
  world.item_genre.push_back(genre);
  world.next_part.push_back(-1);
  world.release.push_back(release);
  world.item_weight.push_back(weight);
}

// Genres are dealt out in shuffled rounds, so that all are equally full up to series, whose parts
// share one genre.
void draw_catalogue(World& world) {
  const WorldOptions& o = world.options;
  Catalogue& catalogue = world.dataset.catalogue;
  catalogue.fields = {"genre"};
  for (int32_t g = 0; g < o.genres; ++g) catalogue.attributes.emplace_back(kGenres[g]);
  catalogue.attribute_fields.assign(o.genres, 0);

  Rng rng(o.seed, "world.catalogue");
  const std::vector<std::string> titles = draw_titles(o.items, rng);
  const double series =
      o.series_share / (3 - 2 * o.series_share);  // series have 3 parts on average
  std::vector<int32_t> genres;
  for (int64_t title = 0; catalogue.num_items() < o.items; ++title) {
    const int64_t length = rng.chance(series) ? 2 + static_cast<int64_t>(rng.below(3)) : 1;
    const int64_t parts = std::min(length, o.items - catalogue.num_items());
    if (genres.empty()) {
      for (int32_t g = 0; g < o.genres; ++g) genres.push_back(g);
      rng.shuffle(genres);
    }
    const int32_t genre = genres.back();
    genres.pop_back();
    std::vector<int64_t> releases;
    for (int64_t part = 0; part < parts; ++part) {
      const bool late = rng.chance(o.late_share);
      const double when = rng.uniform();
      releases.push_back(late ? kLogStart + static_cast<int64_t>(when * kLogLength)
                              : kLogStart - kDay);
    }
    std::sort(releases.begin(), releases.end());
    for (int64_t part = 0; part < parts; ++part) {
      std::string name = part == 0 ? titles[title] : fmt::format("{} {}", titles[title], part + 1);
      add_item(world, std::move(name), genre, releases[part],
               std::exp(o.popularity_spread * rng.normal()));
      if (part > 0)
        world.next_part[catalogue.num_items() - 2] =
            static_cast<int32_t>(catalogue.num_items() - 1);
    }
  }
}

int64_t draw_gap(const WorldOptions& options, Rng& rng) {
  struct Range {
    int64_t low, high;
  };
  constexpr std::array<Range, 3> kShort = {
      {{2 * kMinute, 25 * kMinute}, {kHour, 20 * kHour}, {30 * kHour, 6 * kDay}}};
  constexpr std::array<Range, 2> kLong = {{{9 * kDay, 28 * kDay}, {35 * kDay, 80 * kDay}}};
  const bool quick = rng.chance(options.short_gap);
  const Range range = quick ? kShort[rng.below(kShort.size())] : kLong[rng.below(kLong.size())];
  const double low = std::log(static_cast<double>(range.low)),
               high = std::log(static_cast<double>(range.high));
  return static_cast<int64_t>(std::exp(low + (high - low) * rng.uniform()));
}

// Gaps first, then a start such that the time line ends within the log where it fits; items do not
// influence it.
std::vector<int64_t> draw_times(const WorldOptions& options, Rng& rng) {
  const double share = 0.25 + 1.5 * rng.uniform();
  const auto count = std::max<int64_t>(2, std::llround(share * options.mean_events));
  std::vector<int64_t> times{0};
  while (static_cast<int64_t>(times.size()) < count)
    times.push_back(times.back() + draw_gap(options, rng));
  const int64_t slack = std::max<int64_t>(1, kLogLength - times.back());
  const int64_t start = kLogStart + static_cast<int64_t>(rng.below(slack));
  for (int64_t& time : times) time += start;
  return times;
}

bool is_available(const World& world, const WorldUser& user, int32_t item, int64_t now) {
  return world.release[item] <= now &&
         std::find(user.items.begin(), user.items.end(), item) == user.items.end();
}

}  // namespace

EventRule rule_of(const WorldOptions& options, GapClass gap) {
  EventRule rule;
  const std::string& informative = options.informative;
  const auto follow_last = [&] {
    rule.genre = GenreSource::kSuccessorOfLast;
    rule.follow = options.follow_transition;
    rule.sequel = options.sequel;
  };
  const auto follow_season = [&] {
    rule.genre = GenreSource::kSeason;
    rule.follow = options.follow_season;
  };
  if (informative == "order") {
    if (gap != GapClass::kFirst) follow_last();
    return rule;
  }
  if (informative == "season") {
    follow_season();
    return rule;
  }
  const bool by_gaps = informative == "gaps";
  rule.genre = GenreSource::kLongTerm;
  rule.follow = options.follow_long_term;
  if (!by_gaps && gap == GapClass::kShort) follow_last();
  if (!by_gaps && gap == GapClass::kAbsence) follow_season();
  if (by_gaps && gap == GapClass::kShort) {
    rule.genre = GenreSource::kSuccessorOfLongTerm;
    rule.follow = options.follow_transition;
  }
  rule.drift = by_gaps ? 0 : options.drift;
  return rule;
}

GapClass gap_class(int64_t seconds) {
  return seconds <= kLongestShortGap ? GapClass::kShort
         : seconds <= kLongestPause  ? GapClass::kPause
                                     : GapClass::kAbsence;
}

WorldSampler::WorldSampler(const World& world) : world_(world) {
  genre_items_.resize(world.options.genres);
  for (size_t i = 0; i < world.item_genre.size(); ++i) {
    const auto item = static_cast<int32_t>(i);
    genre_items_[world.item_genre[i]].push_back(item);
    all_items_.push_back(item);
  }
}

WorldUser WorldSampler::new_user(Rng& rng) const {
  WorldUser user;
  user.long_term = static_cast<int32_t>(rng.weighted(world_.genre_prior));
  return user;
}

void WorldSampler::next_event(WorldUser& user, int64_t now, Rng& rng) const {
  const WorldOptions& options = world_.options;
  const bool first = user.items.empty();
  const EventRule rule =
      rule_of(options, first ? GapClass::kFirst : gap_class(now - user.times.back()));
  if (rng.chance(rule.drift))
    user.long_term = static_cast<int32_t>(rng.weighted(world_.genre_prior));
  int32_t item = -1;
  if (!first && rule.sequel > 0) {
    const int32_t part = world_.next_part[user.items.back()];
    if (part >= 0 && is_available(world_, user, part, now) && rng.chance(rule.sequel)) item = part;
  }
  if (item < 0) {
    auto genre = static_cast<int32_t>(rng.weighted(world_.genre_prior));
    if (rule.genre != GenreSource::kPrior && rng.chance(rule.follow))
      genre = followed_genre(user, rule, now);
    item = draw_among(genre_items_[genre], user, now, rng);
    if (item < 0) item = draw_among(all_items_, user, now, rng);
  }
  CHECK(item >= 0, kUsage,
        "synthetic world: a user has seen all {} released items\nhint: more items or fewer events",
        user.items.size());
  user.items.push_back(item);
  user.times.push_back(now);
}

int32_t WorldSampler::followed_genre(const WorldUser& user, const EventRule& rule,
                                     int64_t now) const {
  switch (rule.genre) {
    case GenreSource::kSuccessorOfLast:
      return world_.genre_successor[world_.item_genre[user.items.back()]];
    case GenreSource::kSuccessorOfLongTerm:
      return world_.genre_successor[user.long_term];
    case GenreSource::kSeason:
      return world_.season_genre[quarter_of_year(now)];
    default:
      return user.long_term;
  }
}

// An available one of `items` by item_weight, -1 when there is none.
int32_t WorldSampler::draw_among(const std::vector<int32_t>& items, const WorldUser& user,
                                 int64_t now, Rng& rng) const {
  double total = 0;
  for (const int32_t item : items)
    total += is_available(world_, user, item, now) ? world_.item_weight[item] : 0;
  double left = total * rng.uniform();
  int32_t drawn = -1;
  for (const int32_t item : items) {
    if (!is_available(world_, user, item, now)) continue;
    drawn = item;
    left -= world_.item_weight[item];
    if (left < 0) break;
  }
  return drawn;
}

World make_world(const WorldOptions& options) {
  check_options(options);
  World world;
  world.options = options;
  draw_rules(world);
  draw_catalogue(world);
  const WorldSampler sampler(world);
  Dataset& dataset = world.dataset;
  for (int64_t u = 0; u < options.users; ++u) {
    Rng time_rng(options.seed, "world.times", u), item_rng(options.seed, "world.items", u);
    WorldUser user = sampler.new_user(item_rng);
    for (const int64_t time : draw_times(options, time_rng))
      sampler.next_event(user, time, item_rng);
    dataset.user_ids.push_back(fmt::format("u{}", u + 1));
    dataset.items.insert(dataset.items.end(), user.items.begin(), user.items.end());
    dataset.times.insert(dataset.times.end(), user.times.begin(), user.times.end());
    dataset.user_offsets.push_back(static_cast<int64_t>(dataset.items.size()));
  }
  return world;
}

}  // namespace etrlrec
