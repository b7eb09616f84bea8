#include "method/inspect.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "data/calendar.h"
#include "data/candidate_file.h"
#include "data/candidates.h"
#include "data/dataset.h"
#include "data/log_warnings.h"
#include "data/readers.h"

namespace etrlrec {
namespace {

struct Summary {
  std::vector<int64_t> lengths;  // per user, ascending
  int64_t first_time = 0, last_time = 0;
  int64_t ties = 0, repeats = 0;             // neighbouring pairs at one time / of one item
  int64_t unused_items = 0, cold_items = 0;  // no event at all / none in training but some later
  int64_t duplicate_titles = 0, untitled = 0;
  int64_t whole_days = 0;  // events at midnight UTC
  double density = 0;
  double top_share = 0;  // of the events, by the most popular 1 % of items
};

int64_t quantile(const std::vector<int64_t>& sorted, double q) {
  return sorted.empty() ? 0
                        : sorted[static_cast<size_t>(q * static_cast<double>(sorted.size() - 1))];
}

void summarise_items(const Dataset& dataset, const Split& split, Summary& summary) {
  const Catalogue& catalogue = dataset.catalogue;
  std::vector<int64_t> count(catalogue.item_ids.size()), train(catalogue.item_ids.size());
  for (int64_t u = 0; u < dataset.num_users(); ++u) {
    for (int64_t p = dataset.user_offsets[u]; p < dataset.user_offsets[u + 1]; ++p) {
      ++count[dataset.items[p]];
      train[dataset.items[p]] += p < split.train_end[u];
    }
  }
  const auto canonical = canonical_items(catalogue);
  for (size_t i = 0; i < count.size(); ++i) {
    summary.unused_items += count[i] == 0;
    summary.cold_items += count[i] > 0 && train[i] == 0;
    summary.duplicate_titles += canonical[i] != static_cast<int32_t>(i);
    summary.untitled += catalogue.titles[i] == catalogue.item_ids[i];
  }
  std::sort(count.begin(), count.end(), std::greater<>());
  const size_t top = std::max<size_t>(1, count.size() / 100);
  int64_t top_events = 0;
  for (size_t i = 0; i < std::min(top, count.size()); ++i) top_events += count[i];
  summary.top_share =
      static_cast<double>(top_events) / static_cast<double>(dataset.num_interactions());
}

Summary summarise(const Dataset& dataset, const Split& split) {
  Summary summary;
  for (int64_t u = 0; u < dataset.num_users(); ++u) {
    const int64_t begin = dataset.user_offsets[u], end = dataset.user_offsets[u + 1];
    summary.lengths.push_back(end - begin);
    for (int64_t p = begin; p < end; ++p) {
      summary.whole_days += dataset.times[p] % kSecondsPerDay == 0;
      if (p == begin) continue;
      summary.ties += dataset.times[p] == dataset.times[p - 1];
      summary.repeats += dataset.items[p] == dataset.items[p - 1];
    }
  }
  std::sort(summary.lengths.begin(), summary.lengths.end());
  const auto [first, last] = std::minmax_element(dataset.times.begin(), dataset.times.end());
  summary.first_time = *first;
  summary.last_time = *last;
  summary.density = static_cast<double>(dataset.num_interactions()) /
                    (static_cast<double>(dataset.num_users()) *
                     static_cast<double>(std::max<int64_t>(dataset.catalogue.num_items(), 1)));
  summarise_items(dataset, split, summary);
  return summary;
}

std::vector<std::string> advice(const Dataset& dataset, const Split& split,
                                const Summary& summary) {
  std::vector<std::string> out;
  if (split.protocol.starts_with("leave_one_out")) {
    out.emplace_back("leave-one-out leaks the future: report --split global-time beside it");
  }
  if (summary.duplicate_titles > 0) {
    out.push_back(fmt::format(
        "{} items share a title with an earlier one: a title is no key, candidate lists hold one "
        "of them at most",
        summary.duplicate_titles));
  }
  if (dataset.catalogue.attributes.empty()) {
    out.emplace_back(
        "items have no attributes: facts about taste and its change will be empty; give "
        "--attributes");
  }
  if (quantile(summary.lengths, 0.5) < 5) {
    out.emplace_back("half of the users have fewer than five events: consider --k-core 5");
  }
  if (split.test.size() < 1000) {
    out.push_back(fmt::format(
        "{} test rows give wide confidence intervals: hit@1 of 0.3 is known to about ± {:.3f}",
        split.test.size(),
        1.96 * std::sqrt(0.21 / std::max<double>(1, static_cast<double>(split.test.size())))));
  }
  return out;
}

OrderedJson candidate_files(const fs::path& folder, const Dataset& dataset) {
  OrderedJson json = OrderedJson::object();
  for (const char* part : {"train", "valid", "test"}) {
    const fs::path path = folder / fmt::format("candidates-{}.jsonl", part);
    if (!fs::exists(path)) continue;
    const CandidateSet set = load_candidates(path, dataset);
    json[part] = {{"rows", set.rows.size()},
                  {"kind", candidate_kind_name(set.options.kind)},
                  {"count", set.options.count},
                  {"seed", set.options.seed},
                  {"hash", set.hash}};
  }
  return json;
}

// What prepare says about the rows that it read; nothing where the folder came about otherwise.
RowCounts row_counts(const fs::path& folder) {
  if (!fs::exists(folder / "prepare.json")) return {};
  const Json json = read_json(folder / "prepare.json");
  return {json.value("rows", int64_t{0}), json.value("rejected", int64_t{0})};
}

OrderedJson summary_json(const fs::path& folder, const Dataset& dataset, const Split& split,
                         const Summary& summary) {
  OrderedJson json = {{"schema_version", 1},
                      {"path", folder.string()},
                      {"users", dataset.num_users()},
                      {"items", dataset.catalogue.num_items()},
                      {"interactions", dataset.num_interactions()},
                      {"density", summary.density},
                      {"ratings", !dataset.ratings.empty()}};
  OrderedJson& lengths = json["history_length"];
  for (const auto& [name, q] : {std::pair{"min", 0.0},
                                {"p25", 0.25},
                                {"median", 0.5},
                                {"p75", 0.75},
                                {"p95", 0.95},
                                {"max", 1.0}}) {
    lengths[name] = quantile(summary.lengths, q);
  }
  json["first_time"] = format_iso_time(summary.first_time);
  json["last_time"] = format_iso_time(summary.last_time);
  json["whole_days"] = summary.whole_days == dataset.num_interactions();
  json["ties"] = summary.ties;
  json["repeats"] = summary.repeats;
  json["top_percent_share"] = summary.top_share;
  json["unused_items"] = summary.unused_items;
  json["cold_items"] = summary.cold_items;
  json["duplicate_titles"] = summary.duplicate_titles;
  json["items_without_title"] = summary.untitled;
  json["attributes"] = OrderedJson::object();
  for (size_t f = 0; f < dataset.catalogue.fields.size(); ++f) {
    json["attributes"][dataset.catalogue.fields[f]] =
        std::count(dataset.catalogue.attribute_fields.begin(),
                   dataset.catalogue.attribute_fields.end(), static_cast<int32_t>(f));
  }
  json["split"] = split.protocol;
  json["train_rows"] = split.train.size();
  json["valid_rows"] = split.valid.size();
  json["test_rows"] = split.test.size();
  json["candidates"] = candidate_files(folder, dataset);
  json["catalogue"] = catalogue_hash(dataset.catalogue);
  json["warnings"] = log_warnings(dataset, row_counts(folder), seconds_now());
  json["advice"] = advice(dataset, split, summary);
  return json;
}

}  // namespace

OrderedJson inspect(const fs::path& folder) {
  const Dataset dataset = load_dataset(folder);
  CHECK(dataset.num_interactions() > 0, kInput, "{}: the data set is empty", folder.string());
  const Split split = load_split(folder);
  return summary_json(folder, dataset, split, summarise(dataset, split));
}

std::string format_inspection(const OrderedJson& json) {
  std::string text = fmt::format("{}: {} users · {} items · {} interactions · density {:.4f} %\n",
                                 json["path"].get<std::string>(), json["users"].get<int64_t>(),
                                 json["items"].get<int64_t>(), json["interactions"].get<int64_t>(),
                                 100 * json["density"].get<double>());
  std::string lengths;
  for (const auto& [name, value] : json["history_length"].items()) {
    lengths += fmt::format(" {} {}", name, value.get<int64_t>());
  }
  text += fmt::format("history length:{}\n", lengths);
  text += fmt::format("times: {} ... {} · {} ties · {} repeats of the previous item\n",
                      json["first_time"].get<std::string>(), json["last_time"].get<std::string>(),
                      json["ties"].get<int64_t>(), json["repeats"].get<int64_t>());
  text += fmt::format(
      "items: top 1 % has {:.1f} % of the events · {} without events · {} cold · {} with a "
      "title seen before\n",
      100 * json["top_percent_share"].get<double>(), json["unused_items"].get<int64_t>(),
      json["cold_items"].get<int64_t>(), json["duplicate_titles"].get<int64_t>());
  for (const auto& [field, count] : json["attributes"].items()) {
    text += fmt::format("attribute {}: {} values\n", field, count.get<int64_t>());
  }
  text += fmt::format("split {}: {} train, {} valid, {} test rows\n",
                      json["split"].get<std::string>(), json["train_rows"].get<int64_t>(),
                      json["valid_rows"].get<int64_t>(), json["test_rows"].get<int64_t>());
  for (const auto& [part, set] : json["candidates"].items()) {
    text += fmt::format("candidates {}: {} rows of {} ({}, seed {})\n", part,
                        set["rows"].get<int64_t>(), set["count"].get<int64_t>(),
                        set["kind"].get<std::string>(), set["seed"].get<uint64_t>());
  }
  for (const auto& line : json.value("warnings", OrderedJson::array()))
    text += fmt::format("warning: {}\n", line.get<std::string>());
  for (const auto& line : json["advice"])
    text += fmt::format("advice: {}\n", line.get<std::string>());
  return text;
}

}  // namespace etrlrec
