#include "models/item_knn.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "models/recommender_file.h"

namespace etrlrec {
namespace {

constexpr double kSecondsPerDay = 86400;

constexpr RecommenderOption kOptions[] = {
    {"--neighbours", "neighbours", int64_t{200}, "most similar items kept for each",
     "50, 200, 1000"},
    {"--decay-half-life-days", "decay_half_life_days", 30.0,
     "age at which an event of the history counts half", "1, 3, 10, 30, 100, 1000"},
};

struct Options {
  int64_t neighbours = 0;
  double half_life_days = 0;
};

Options options_of(const OptionValues& given) {
  const Options options{option_or(given, "neighbours", int64_t{200}),
                        option_or(given, "decay_half_life_days", 30.0)};
  CHECK(options.neighbours > 0, kUsage, "neighbours: expected a positive value, found {}",
        options.neighbours);
  CHECK(options.half_life_days > 0, kUsage,
        "decay_half_life_days: expected a positive value, found {}", options.half_life_days);
  return options;
}

OrderedJson config_json(const Options& options) {
  return {{"neighbours", options.neighbours}, {"decay_half_life_days", options.half_life_days}};
}

// The neighbours of item i are [offsets[i], offsets[i + 1]) of both columns, most similar first.
struct Neighbours {
  std::vector<int64_t> offsets{0}, items, common_users;
};

class ItemKnn : public Recommender {
 public:
  ItemKnn(const Options& options, std::vector<int64_t> users, Neighbours neighbours)
      : options_(options), users_(std::move(users)), neighbours_(std::move(neighbours)) {}
  std::string name() const override { return "item-knn"; }
  int64_t num_items() const override { return std::ssize(users_); }
  at::Tensor score(std::span<const HistoryView> histories) const override {
    at::Tensor scores = at::empty({std::ssize(histories), num_items()});
    float* out = scores.data_ptr<float>();
    at::parallel_for(0, scores.size(0), 1, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row)
        score_row(histories[static_cast<size_t>(row)], out + row * num_items());
    });
    return scores;
  }
  void save(const fs::path& folder) const override {
    save_recommender(folder, name(), num_items(), config_json(options_),
                     {{"users", column_tensor(users_)},
                      {"offsets", column_tensor(neighbours_.offsets)},
                      {"items", column_tensor(neighbours_.items)},
                      {"common_users", column_tensor(neighbours_.common_users)}});
  }

 private:
  void score_row(const HistoryView& history, float* out) const {
    CHECK(history.times.size() == history.items.size(), kInput,
          "item-knn: expected a time for each of the {} items, found {}", history.items.size(),
          history.times.size());
    std::vector<double> votes(users_.size(), 0.0);
    for (size_t event = 0; event < history.items.size(); ++event) {
      const int64_t item = history.items[event];
      CHECK(item >= 0 && item < num_items(), kInput, "item-knn: item {} is not in [0, {})", item,
            num_items());
      // Ages from the newest event: the request's own distance is a factor common to all scores.
      const auto age = static_cast<double>(history.times.back() - history.times[event]);
      const double weight = std::exp2(-age / (options_.half_life_days * kSecondsPerDay));
      for (int64_t n = neighbours_.offsets[item]; n < neighbours_.offsets[item + 1]; ++n) {
        const int64_t other = neighbours_.items[n];
        const double norm =
            std::sqrt(static_cast<double>(users_[item]) * static_cast<double>(users_[other]));
        votes[other] += weight * static_cast<double>(neighbours_.common_users[n]) / norm;
      }
    }
    std::copy(votes.begin(), votes.end(), out);
  }

  Options options_;
  std::vector<int64_t> users_;  // [N] users who have the item
  Neighbours neighbours_;
};

// Each user's items, and each item's users, once each.
struct Incidence {
  std::vector<std::vector<int32_t>> items_of_user, users_of_item;
};

Incidence incidence_of(const InteractionLog& log) {
  Incidence all;
  all.users_of_item.resize(static_cast<size_t>(log.num_items));
  for (size_t user = 0; user + 1 < log.user_offsets.size(); ++user) {
    std::vector<int32_t> items(log.items.begin() + log.user_offsets[user],
                               log.items.begin() + log.user_offsets[user + 1]);
    std::sort(items.begin(), items.end());
    items.erase(std::unique(items.begin(), items.end()), items.end());
    for (const int32_t item : items) all.users_of_item[item].push_back(static_cast<int32_t>(user));
    all.items_of_user.push_back(std::move(items));
  }
  return all;
}

struct Neighbour {
  int64_t item, common_users;
  double similarity;
};

std::vector<Neighbour> neighbours_of(int64_t item, const Incidence& all, int64_t count) {
  std::vector<int64_t> common(all.users_of_item.size(), 0);
  for (const int32_t user : all.users_of_item[item])
    for (const int32_t other : all.items_of_user[user]) ++common[other];
  std::vector<Neighbour> found;
  const auto own = static_cast<double>(all.users_of_item[item].size());
  for (int64_t other = 0; other < std::ssize(common); ++other) {
    if (other == item || common[other] == 0) continue;
    const auto theirs = static_cast<double>(all.users_of_item[other].size());
    found.push_back(
        {other, common[other], static_cast<double>(common[other]) / std::sqrt(own * theirs)});
  }
  const auto is_nearer = [](const Neighbour& a, const Neighbour& b) {
    return a.similarity != b.similarity ? a.similarity > b.similarity : a.item < b.item;
  };
  const auto kept = std::min<int64_t>(count, std::ssize(found));
  std::partial_sort(found.begin(), found.begin() + kept, found.end(), is_nearer);
  found.resize(static_cast<size_t>(kept));
  return found;
}

std::unique_ptr<Recommender> fit_item_knn(const InteractionLog& log, const OptionValues& given) {
  check_log(log);
  const Options options = options_of(given);
  const Incidence all = incidence_of(log);
  std::vector<std::vector<Neighbour>> found(static_cast<size_t>(log.num_items));
  at::parallel_for(0, log.num_items, 16, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item)
      found[item] = neighbours_of(item, all, options.neighbours);
  });
  Neighbours neighbours;
  std::vector<int64_t> users;
  for (int64_t item = 0; item < log.num_items; ++item) {
    users.push_back(std::ssize(all.users_of_item[item]));
    for (const Neighbour& neighbour : found[item]) {
      neighbours.items.push_back(neighbour.item);
      neighbours.common_users.push_back(neighbour.common_users);
    }
    neighbours.offsets.push_back(std::ssize(neighbours.items));
  }
  return std::make_unique<ItemKnn>(options, std::move(users), std::move(neighbours));
}

std::unique_ptr<Recommender> load_item_knn(const fs::path& folder) {
  const RecommenderFile file(folder);
  const Options options{static_cast<int64_t>(file.positive("neighbours")),
                        file.positive("decay_half_life_days")};
  Neighbours neighbours;
  neighbours.items = file.items("items", -1);
  const int64_t size = std::ssize(neighbours.items);
  neighbours.common_users = file.counts("common_users", size);
  neighbours.offsets = file.offsets(size);
  std::vector<int64_t> users = file.counts("users", file.num_items());
  for (const int64_t item : neighbours.items)
    CHECK(users[item] > 0, kModel, "{}: item {} is a neighbour and has no user", file.name(), item);
  for (int64_t item = 0; item < file.num_items(); ++item)
    CHECK(users[item] > 0 || neighbours.offsets[item] == neighbours.offsets[item + 1], kModel,
          "{}: item {} has neighbours and no user", file.name(), item);
  return std::make_unique<ItemKnn>(options, std::move(users), std::move(neighbours));
}

}  // namespace

const RecommenderType kItemKnn = {
    .name = "item-knn",
    .summary = "items that the same users have, weighted by age",
    .paper = "Sarwar et al. 2001",
    .heading = "item-knn",
    .options = kOptions,
    .configure = [](const OptionValues& given) { return config_json(options_of(given)); },
    .count = fit_item_knn,
    .load = load_item_knn,
};

}  // namespace etrlrec
