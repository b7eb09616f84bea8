// A synthetic world with known temporal rules (method.md G.10) and exact next-item probabilities
// given the observable history, hence the Bayes-optimal ranking as an upper bound. Ingredients:
// genre transition after short gaps, long-term taste after long gaps (latent, drifting, filtered
// exactly), a seasonal second attribute, sequels, release dates and cold items, mild popularity.
//
// One event of a user at time t, given the gap to the event before (rule_of says which sources are
// in force):
//   1. drift: with probability `drift` the latent long-term genre L is drawn anew from genre_prior;
//   2. sequel: if in force and the next part of the last item is available, it is taken with
//   probability `sequel`;
//   3. genre: with probability `follow_*` the genre the rule names, else one from genre_prior;
//   4. tone: with probability `follow_season` the tone of the quarter, else one drawn uniformly;
//   5. item: among the available ones (released, not yet seen by the user) of that genre and tone
//   by item_weight. Fall-back:
//      when there is none, among those of the genre, and when there is none either, among all.
// Times are drawn before and independently of items, so a request time by itself tells nothing
// about the item.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "base/rng.h"
#include "data/dataset.h"

namespace etrlrec {

struct WorldOptions {
  int64_t users = 6000;
  int64_t items = 400;
  int32_t genres = 10, tones = 4;
  double mean_events = 20;         // per user; uniform in [0.25, 1.75] times this
  double short_gap = 0.5;          // probability
  double follow_transition = 0.8;  // genre after a short gap
  double follow_long_term = 0.8;   // genre after a long gap
  double follow_season = 0.7;      // tone
  double sequel = 0.3;             // next part after a short gap
  double drift = 0.04;             // redraw of the latent long-term genre, per event
  double series_share = 0.3;       // items that are parts of a series
  double late_share = 0.2;         // items that appear while the log runs
  double popularity_spread = 0.4;  // item_weight = exp(spread * normal)
  // Knob: which rules inform; the draw of a rule switched off says nothing.
  //   "all"     genre: L at the first event and after a long gap, successor of the last item's
  //   genre after a short one
  //             (then also sequels); tone: season.
  //   "order"   genre: successor of the last item's genre and sequels after every gap; first event
  //   from genre_prior;
  //             tone uniform. Times say nothing.
  //   "gaps"    genre: L at the first event and after a long gap, successor of L after a short one;
  //   no drift, no sequels;
  //             tone uniform. Given its own gap, the place of an entry says nothing.
  //   "season"  genre from genre_prior, no sequels; tone: season. Only the quarter of the year says
  //   something.
  std::string informative = "all";
  uint64_t seed = 42;
};

struct World {
  WorldOptions options;
  Dataset dataset;
  // Rules, kept in world.json of the dataset folder so that the bound can be computed from files
  // alone.
  std::vector<int32_t> item_genre, item_tone;  // [N]
  std::vector<int32_t> next_part;              // [N] item index of the next part, -1 none
  std::vector<int64_t> release;                // [N] time an item appears
  std::vector<double> item_weight;             // [N] popularity inside its cell
  std::vector<int32_t> genre_successor;        // [genres]
  std::vector<int32_t> season_tone;            // [4] tone favoured in each quarter of the year
  std::vector<double> genre_prior;             // [genres]
};

// The whole catalogue and log; equal options give equal worlds, and a user does not depend on how
// many others there are. Errors (kUsage) name the option.
World make_world(const WorldOptions& options);
void save_world(const World& world, const std::filesystem::path& folder);  // world.json
World load_world(const std::filesystem::path& folder);                     // dataset not included

// p(next item | observable history, now), [N], sums to 1; exact forward filter over the latent
// long-term genre. The history must be the user's whole one (a shortened one gives the wrong
// posterior); one that the world cannot have produced is refused (kInput).
std::vector<double> next_item_probabilities(const World& world, std::span<const int32_t> items,
                                            std::span<const int64_t> times, int64_t now);

// The rules in force for one event; both the generator and the filter ask here.
enum class GenreSource : int8_t { kPrior, kSuccessorOfLast, kLongTerm, kSuccessorOfLongTerm };
struct EventRule {
  GenreSource genre = GenreSource::kPrior;
  double follow = 0;  // probability of the named genre, else genre_prior
  double sequel = 0;  // probability of an available next part
  double season = 0;  // probability of the tone of the quarter, else uniform
  double drift = 0;
};
EventRule rule_of(const WorldOptions& options, bool first, bool short_gap);
bool is_short_gap(int64_t seconds);     // up to seven days
int32_t quarter_of_year(int64_t time);  // 0: January to March, UTC

// What the generator knows of a user.
struct WorldUser {
  int32_t long_term = 0;  // latent
  std::vector<int32_t> items;
  std::vector<int64_t> times;
};

// The generator, one event at a time. Keeps a reference to the world.
class WorldSampler {
 public:
  explicit WorldSampler(const World& world);
  WorldUser new_user(Rng& rng) const;
  // Draws the item of the event at `now` (steps 1-5 above) and appends it.
  void next_event(WorldUser& user, int64_t now, Rng& rng) const;

 private:
  int32_t draw_among(const std::vector<int32_t>& items, const WorldUser& user, int64_t now,
                     Rng& rng) const;
  const World& world_;
  std::vector<std::vector<int32_t>> cell_items_;   // [genres * tones]
  std::vector<std::vector<int32_t>> genre_items_;  // [genres]
  std::vector<int32_t> all_items_;
};

}  // namespace etrlrec
