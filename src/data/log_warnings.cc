#include "data/log_warnings.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "data/calendar.h"

namespace etrlrec {
namespace {

constexpr double kRejectedShare = 0.05, kTieShare = 0.1, kUserShare = 0.1, kTitleShare = 0.2;
constexpr int64_t kUserTimesMedian = 10, kLongHistory = 10000;
constexpr int64_t kFewEvents = 100;  // below, shares say nothing
constexpr int64_t kFarYears = 400, kBuddhistYears = 543;
constexpr size_t kShownIds = 5;

double share_of(int64_t part, int64_t whole) {
  return static_cast<double>(part) / static_cast<double>(std::max<int64_t>(whole, 1));
}

std::string percent(int64_t part, int64_t whole) {
  const double percent = 100 * share_of(part, whole);
  if (part == whole) return "100 %";
  if (percent < 0.1) return "under 0.1 %";
  return percent < 10 ? fmt::format("{:.1f} %", percent)
                      : fmt::format("{:.0f} %", std::min(percent, 99.0));
}

class Warnings {
 public:
  Warnings(const Dataset& dataset, const RowCounts& counts, int64_t now)
      : dataset_(dataset), counts_(counts), now_(now) {}

  std::vector<std::string> all() {
    about_rows();
    if (dataset_.num_interactions() == 0) return std::move(out_);
    if (!dataset_.order_only) about_times();
    about_users();
    about_titles();
    return std::move(out_);
  }

 private:
  template <typename... Args>
  void say(fmt::format_string<Args...> format, Args&&... args) {
    out_.push_back(fmt::format(format, std::forward<Args>(args)...));
  }

  void about_rows() {
    if (counts_.rejected == 0 || share_of(counts_.rejected, counts_.rows) < kRejectedShare) return;
    say("{} of {} rows ({}) cannot be used: so many mostly mean a wrong column, delimiter or "
        "quoting, not bad rows; see rejected.tsv",
        counts_.rejected, counts_.rows, percent(counts_.rejected, counts_.rows));
  }

  void about_times() {
    const auto& times = dataset_.times;
    const int64_t events = dataset_.num_interactions();
    const int64_t limit = now_ + kSecondsPerDay;
    int64_t latest = times[0], earliest = times[0], future = 0;
    bool one_clock = true;
    for (const int64_t time : times) {
      latest = std::max(latest, time);
      earliest = std::min(earliest, time);
      future += time > limit;
      one_clock = one_clock && (time - times[0]) % kSecondsPerDay == 0;
    }
    if (future > 0) about_future(future, latest);
    if (events == 1) return;
    if (earliest == latest) {
      say("all {} events have one time, {}: no order and no gap can be learned; check the time "
          "column (--map time=COLUMN), or give --time order where the rows stand in order",
          events, format_iso_time(latest));
      return;
    }
    about_ties(one_clock);
  }

  void about_future(int64_t future, int64_t latest) {
    constexpr int64_t kYear = 365 * kSecondsPerDay + kSecondsPerDay / 4;
    const int64_t years = (latest - now_) / kYear;
    const bool buddhist = years >= kFarYears && years <= kBuddhistYears;
    say("{} of {} times ({}) lie in the future, the latest at {}: {}", future,
        dataset_.num_interactions(), percent(future, dataset_.num_interactions()),
        format_iso_time(latest),
        buddhist ? fmt::format("its year may be of the Buddhist calendar, {} years ahead; convert "
                               "the times first",
                               kBuddhistYears)
                 : "check --time-unit and --time-format, or take these rows out of the log");
  }

  void about_ties(bool one_clock) {
    int64_t ties = 0, pairs = 0;
    for (int64_t u = 0; u < dataset_.num_users(); ++u) {
      for (int64_t p = dataset_.user_offsets[u] + 1; p < dataset_.user_offsets[u + 1]; ++p) {
        ties += dataset_.times[p] == dataset_.times[p - 1];
        ++pairs;
      }
    }
    const bool many = ties > 0 && share_of(ties, pairs) > kTieShare;
    if (one_clock) {
      const std::string shared =
          many ? fmt::format(" ({} of neighbouring events share their day)", percent(ties, pairs))
               : "";
      say("all times are at {} UTC, so they only say the day: the order within a day is that of "
          "the file{}, and gaps below a day are unknown; give a column with the clock if there is "
          "one",
          format_iso_time(dataset_.times[0]).substr(11, 8), shared);
    } else if (many) {
      say("{} of neighbouring events of a user ({} of {}) share their time: the order inside a tie "
          "is that of the file, so no conclusion about order may rest on it",
          percent(ties, pairs), ties, pairs);
    }
  }

  void about_users() {
    const int64_t users = dataset_.num_users(), events = dataset_.num_interactions();
    std::vector<int64_t> lengths;
    for (int64_t u = 0; u < users; ++u)
      lengths.push_back(dataset_.user_offsets[u + 1] - dataset_.user_offsets[u]);
    const auto top = std::max_element(lengths.begin(), lengths.end());
    const std::string& id = dataset_.user_ids[static_cast<size_t>(top - lengths.begin())];
    const int64_t most = *top;
    const auto longs = std::count_if(lengths.begin(), lengths.end(),
                                     [](int64_t length) { return length >= kLongHistory; });
    const auto middle = lengths.begin() + (users - 1) / 2;
    std::nth_element(lengths.begin(), middle, lengths.end());
    const bool dominant = users > 1 && most >= kFewEvents && share_of(most, events) >= kUserShare &&
                          most >= kUserTimesMedian * *middle;
    if (users == 1 && events >= kFewEvents) {
      say("all {} events are of one user, \"{}\": nothing can be learned about others; check the "
          "user column (--map user=COLUMN)",
          events, id);
    } else if (dominant) {
      say("{} of the events ({}) are of one user, \"{}\": it outweighs all others in training and "
          "results; check the user column, or take the user out if it stands for \"unknown\" or a "
          "machine",
          percent(most, events), most, id);
    } else if (longs > 0) {
      say("{} {} 10,000 events or more, \"{}\" has {}: look whether they are machines or shared "
          "accounts, and take them out of the log if so",
          longs, longs == 1 ? "user has" : "users have", id, most);
    }
  }

  void about_titles() {
    const Catalogue& catalogue = dataset_.catalogue;
    const int64_t items = catalogue.num_items();
    int64_t untitled = 0;
    std::string shown;
    for (int64_t i = 0; i < items; ++i) {
      if (catalogue.titles[i] != catalogue.item_ids[i]) continue;
      if (++untitled <= static_cast<int64_t>(kShownIds)) shown += " " + catalogue.item_ids[i];
    }
    if (untitled > 0)
      say("{} of {} items have no title, their id stands in, about which a language model knows "
          "nothing:{}{}; give --items FILE --title COLUMN, or --drop-untitled",
          untitled, items, shown, untitled > static_cast<int64_t>(kShownIds) ? " ..." : "");
    if (untitled == items) return;
    const auto canonical = canonical_items(catalogue);
    std::vector<int64_t> later(canonical.size());
    int64_t equal = 0;
    for (size_t i = 0; i < canonical.size(); ++i) {
      if (canonical[i] == static_cast<int32_t>(i)) continue;
      ++equal;
      ++later[static_cast<size_t>(canonical[i])];
    }
    if (equal == 0 || share_of(equal, items) < kTitleShare) return;
    const auto top = std::max_element(later.begin(), later.end());
    say("{} of {} items ({}) have the title of an earlier one, the most frequent is \"{}\" ({} "
        "items): a title cannot tell them apart; check --title, or give titles that differ",
        equal, items, percent(equal, items),
        catalogue.titles[static_cast<size_t>(top - later.begin())], *top + 1);
  }

  const Dataset& dataset_;
  const RowCounts& counts_;
  int64_t now_;
  std::vector<std::string> out_;
};

}  // namespace

std::vector<std::string> log_warnings(const Dataset& dataset, const RowCounts& counts,
                                      int64_t now) {
  return Warnings(dataset, counts, now).all();
}

int64_t seconds_now() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace etrlrec
