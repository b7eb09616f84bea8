// A synthetic world with known temporal rules, as a catalogue and a log (method.md G.10).
// Ingredients: genre transition after short gaps, long-term taste after a pause (latent and
// drifting), the season's genre after a long absence, sequels, release dates and cold items, mild
// popularity.
//
// One event of a user at time t, given the gap to the event before (rule_of says which sources are
// in force):
//   1. drift: with probability `drift` the latent long-term genre L is drawn anew from genre_prior;
//   2. sequel: if in force and the next part of the last item is available, it is taken with
//   probability `sequel`;
//   3. genre: with probability `follow_*` the genre the rule names, else one from genre_prior;
//   4. item: among the available ones (released, not yet seen by the user) of that genre by
//   item_weight, or when there is none, among all.
// Times are drawn before and independently of items, so a request time by itself tells nothing
// about the item.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/rng.h"
#include "data/dataset.h"

namespace etrlrec {

struct WorldOptions {
  int64_t users = 6000;
  int64_t items = 400;
  int32_t genres = 20;
  double mean_events = 20;          // per user; uniform in [0.25, 1.75] times this
  double short_gap = 0.5;           // probability
  double follow_transition = 0.82;  // genre after a short gap
  double follow_long_term = 0.82;   // genre after a pause
  double follow_season = 0.7;       // season's genre after an absence
  double sequel = 0.15;             // next part after a short gap
  double drift = 0.04;              // redraw of the latent long-term genre, per event
  double series_share = 0.3;        // items that are parts of a series
  double late_share = 0.2;          // items that appear while the log runs
  double popularity_spread = 0.4;   // item_weight = exp(spread * normal)
  // Knob: which rules inform; the draw of a rule switched off says nothing.
  //   "all"     L at the first event and after a pause, the successor of the last item's genre
  //             after a short gap (then also sequels), the season's genre after an absence.
  //   "order"   successor of the last item's genre and sequels after every gap; the first event
  //             from genre_prior. Times say nothing.
  //   "gaps"    L at the first event and after long gaps, successor of L after a short one; no
  //             drift, no sequels. Given its own gap, the place of an entry says nothing.
  //   "season"  the season's genre at every event; no sequels. Only the quarter of the year says
  //             something.
  std::string informative = "all";
  uint64_t seed = 42;
};

struct World {
  WorldOptions options;
  Dataset dataset;
  // Rules, kept in world.json of the dataset folder so that the bound can be computed from files
  // alone.
  std::vector<int32_t> item_genre;       // [N]
  std::vector<int32_t> next_part;        // [N] item index of the next part, -1 none
  std::vector<int64_t> release;          // [N] time an item appears
  std::vector<double> item_weight;       // [N] popularity inside its genre
  std::vector<int32_t> genre_successor;  // [genres]
  std::vector<int32_t> season_genre;     // [4] genre of each quarter of the year
  std::vector<double> genre_prior;       // [genres]
};

// The whole catalogue and log; equal options give equal worlds, and a user does not depend on how
// many others there are. Errors (kUsage) name the option.
World make_world(const WorldOptions& options);

// The rules in force for one event; both the generator and the filter ask here.
enum class GenreSource : int8_t {
  kPrior,
  kSuccessorOfLast,
  kLongTerm,
  kSuccessorOfLongTerm,
  kSeason
};
enum class GapClass : int8_t { kFirst, kShort, kPause, kAbsence };  // kFirst: no event before
struct EventRule {
  GenreSource genre = GenreSource::kPrior;
  double follow = 0;  // probability of the named genre, else genre_prior
  double sequel = 0;  // probability of an available next part
  double drift = 0;
};
EventRule rule_of(const WorldOptions& options, GapClass gap);
GapClass gap_class(int64_t seconds);  // short up to seven days, a pause up to thirty

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
  // Draws the item of the event at `now` (steps 1-4 above) and appends it.
  void next_event(WorldUser& user, int64_t now, Rng& rng) const;

 private:
  int32_t followed_genre(const WorldUser& user, const EventRule& rule, int64_t now) const;
  int32_t draw_among(const std::vector<int32_t>& items, const WorldUser& user, int64_t now,
                     Rng& rng) const;
  const World& world_;
  std::vector<std::vector<int32_t>> genre_items_;  // [genres]
  std::vector<int32_t> all_items_;
};

}  // namespace etrlrec
