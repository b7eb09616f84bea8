#include "data/world_file.h"

#include <cmath>
#include <set>

#include "base/check.h"
#include "base/json.h"

namespace etrlrec {
namespace {

constexpr const char* kFormat = "etrlrec-world";
constexpr int64_t kVersion = 1;

// Calls visit(key, field) for every option, for writing and for reading alike.
template <typename Options, typename Visit>
void for_each_option(Options& options, const Visit& visit) {
  visit("users", options.users);
  visit("items", options.items);
  visit("genres", options.genres);
  visit("mean_events", options.mean_events);
  visit("short_gap", options.short_gap);
  visit("follow_transition", options.follow_transition);
  visit("follow_long_term", options.follow_long_term);
  visit("follow_season", options.follow_season);
  visit("sequel", options.sequel);
  visit("drift", options.drift);
  visit("series_share", options.series_share);
  visit("late_share", options.late_share);
  visit("popularity_spread", options.popularity_spread);
  visit("informative", options.informative);
  visit("seed", options.seed);
}

void check_probability(const std::string& name, const char* key, double value) {
  CHECK(value >= 0 && value <= 1, kInput, "{}: {}: expected a probability in [0, 1], found {}",
        name, key, value);
}

void check_options(const WorldOptions& o, const std::string& name) {
  CHECK(o.items >= 1 && o.items <= 100'000, kInput, "{}: items: expected 1 to 100000, found {}",
        name, o.items);
  CHECK(o.genres >= 2 && o.genres <= 1000, kInput, "{}: genres: expected 2 to 1000, found {}", name,
        o.genres);
  check_probability(name, "follow_transition", o.follow_transition);
  check_probability(name, "follow_long_term", o.follow_long_term);
  check_probability(name, "follow_season", o.follow_season);
  check_probability(name, "sequel", o.sequel);
  check_probability(name, "drift", o.drift);
  const std::set<std::string> known = {"all", "order", "gaps", "season"};
  CHECK(known.contains(o.informative), kInput,
        "{}: informative: expected all, order, gaps or season, found \"{}\"", name, o.informative);
}

template <typename T>
void check_column(const std::string& name, const char* key, const std::vector<T>& values,
                  int64_t length, T low, T high) {
  CHECK(static_cast<int64_t>(values.size()) == length, kInput,
        "{}: {}: expected {} values, found {}", name, key, length, values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    CHECK(values[i] >= low && values[i] <= high, kInput, "{}: {}[{}]: expected {} to {}, found {}",
          name, key, i, low, high, values[i]);
  }
}

void check_rules(const World& world, const std::string& name) {
  const WorldOptions& o = world.options;
  const auto items = static_cast<int32_t>(o.items);
  constexpr int64_t kFarTime = int64_t{1} << 40;
  check_column(name, "item_genre", world.item_genre, items, 0, o.genres - 1);
  check_column(name, "next_part", world.next_part, items, -1, items - 1);
  check_column(name, "release", world.release, items, -kFarTime, kFarTime);
  check_column(name, "item_weight", world.item_weight, items, 1e-30, 1e30);
  check_column(name, "genre_successor", world.genre_successor, o.genres, 0, o.genres - 1);
  check_column(name, "season_genre", world.season_genre, 4, 0, o.genres - 1);
  check_column(name, "genre_prior", world.genre_prior, o.genres, 0.0, 1.0);
  double sum = 0;
  for (const double p : world.genre_prior) sum += p;
  CHECK(std::abs(sum - 1) < 1e-9, kInput, "{}: genre_prior: expected the sum 1, found {}", name,
        sum);
}

}  // namespace

void save_world(const World& world, const std::filesystem::path& folder) {
  OrderedJson json;
  json["format"] = kFormat;
  json["version"] = kVersion;
  for_each_option(world.options,
                  [&](const char* key, const auto& value) { json["options"][key] = value; });
  json["item_genre"] = world.item_genre;
  json["next_part"] = world.next_part;
  json["release"] = world.release;
  json["item_weight"] = world.item_weight;
  json["genre_successor"] = world.genre_successor;
  json["season_genre"] = world.season_genre;
  json["genre_prior"] = world.genre_prior;
  write_json_atomic(folder / "world.json", json);
}

World load_world(const std::filesystem::path& folder) {
  const std::string name = (folder / "world.json").string();
  const Json json = read_json(folder / "world.json");
  CHECK(get<std::string>(json, "format", name) == kFormat &&
            get<int64_t>(json, "version", name) == kVersion,
        kInput, "{}: expected format {} version {}", name, kFormat, kVersion);
  World world;
  const auto options = get<Json>(json, "options", name);
  for_each_option(world.options, [&](const char* key, auto& value) {
    value = get<std::decay_t<decltype(value)>>(options, key, name);
  });
  check_options(world.options, name);
  world.item_genre = get<std::vector<int32_t>>(json, "item_genre", name);
  world.next_part = get<std::vector<int32_t>>(json, "next_part", name);
  world.release = get<std::vector<int64_t>>(json, "release", name);
  world.item_weight = get<std::vector<double>>(json, "item_weight", name);
  world.genre_successor = get<std::vector<int32_t>>(json, "genre_successor", name);
  world.season_genre = get<std::vector<int32_t>>(json, "season_genre", name);
  world.genre_prior = get<std::vector<double>>(json, "genre_prior", name);
  check_rules(world, name);
  return world;
}

}  // namespace etrlrec
