#include "data/candidate_file.h"

#include <algorithm>
#include <unordered_map>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "data/thread_group.h"

namespace etrlrec {
namespace {

std::unordered_map<std::string, int32_t> index_of(const std::vector<std::string>& ids) {
  std::unordered_map<std::string, int32_t> index;
  index.reserve(ids.size());
  for (size_t i = 0; i < ids.size(); ++i) index.emplace(ids[i], static_cast<int32_t>(i));
  return index;
}

int32_t find_id(const std::unordered_map<std::string, int32_t>& index, const std::string& id,
                const char* what, const std::string& where) {
  const auto found = index.find(id);
  CHECK(found != index.end(), kInput, "{}: {} \"{}\" is not in the data set", where, what, id);
  return found->second;
}

void read_header(const Json& value, const Dataset& dataset, const std::string& where,
                 CandidateSet& set) {
  CHECK(get<std::string>(value, "format", where) == "etrlrec-candidates" &&
            get<int64_t>(value, "version", where) == 1,
        kInput, "{}: expected format etrlrec-candidates, version 1", where);
  const auto catalogue = get<std::string>(value, "catalogue", where);
  CHECK(catalogue == catalogue_hash(dataset.catalogue), kInput,
        "{}: the candidates were drawn from another catalogue\nhint: etrlrec prepare", where);
  set.options.kind = candidate_kind(get<std::string>(value, "kind", where));
  set.options.count = get<int32_t>(value, "count", where);
  set.options.seed = get<uint64_t>(value, "seed", where);
  set.protocol = get<std::string>(value, "protocol", where);
  set.hash = get<std::string>(value, "hash", where);
  CHECK(set.options.count >= 2, kInput, "{}: expected a count of at least 2, found {}", where,
        set.options.count);
}

// `items`: the ids of the catalogue as JSON.
void append_row(const CandidateSet& set, const Dataset& dataset,
                const std::vector<std::string>& items, size_t r, std::string& text) {
  const Row& row = set.rows[r];
  text += "{\"user\":" + Json(dataset.user_ids[row.user]).dump();
  text += ",\"position\":" + std::to_string(row.position - dataset.user_offsets[row.user]);
  text += ",\"target\":" + std::to_string(set.slots[r]) + ",\"candidates\":[";
  const auto count = static_cast<size_t>(set.options.count);
  const size_t ahead = std::min(set.items.size(), (r + 2) * count);
  for (size_t i = (r + 1) * count; i < ahead; ++i)
    __builtin_prefetch(&items[static_cast<size_t>(set.items[i])]);
  for (size_t c = 0; c < count; ++c) {
    if (c > 0) text += ',';
    text += items[static_cast<size_t>(set.items[r * count + c])];
  }
  text += "]}\n";
}

}  // namespace

void save_candidates(const CandidateSet& set, const Dataset& dataset, const fs::path& path,
                     int32_t asked_threads) {
  const OrderedJson header = {{"format", "etrlrec-candidates"},
                              {"version", 1},
                              {"kind", candidate_kind_name(set.options.kind)},
                              {"count", set.options.count},
                              {"seed", set.options.seed},
                              {"protocol", set.protocol},
                              {"rows", set.rows.size()},
                              {"hash", set.hash},
                              {"catalogue", catalogue_hash(dataset.catalogue)}};
  AtomicFile file(path);
  file.write(header.dump() + "\n");
  std::vector<std::string> items;  // in quotes
  for (const std::string& id : dataset.catalogue.item_ids) items.push_back(Json(id).dump());
  constexpr size_t kPart = 1 << 14;  // rows that a thread writes at a time
  const int32_t threads = thread_count(asked_threads);
  std::vector<std::string> parts(static_cast<size_t>(threads));
  for (size_t begin = 0; begin < set.rows.size(); begin += kPart * parts.size()) {
    run_threads(threads, [&](int32_t t) {
      const size_t first = begin + kPart * static_cast<size_t>(t);
      std::string& text = parts[static_cast<size_t>(t)];
      text.clear();
      for (size_t r = first; r < std::min(first + kPart, set.rows.size()); ++r)
        append_row(set, dataset, items, r, text);
    });
    for (const std::string& part : parts) file.write(part);
  }
  file.commit();
}

CandidateSet load_candidates(const fs::path& path, const Dataset& dataset) {
  const auto users = index_of(dataset.user_ids);
  const auto items = index_of(dataset.catalogue.item_ids);
  CandidateSet set;
  int64_t expected_rows = 0;
  for_each_json_line(path, [&](const Json& value, int64_t number) {
    const std::string where = fmt::format("{}:{}", path.string(), number);
    if (number == 1) {
      read_header(value, dataset, where, set);
      expected_rows = get<int64_t>(value, "rows", where);
      return;
    }
    Row row;
    row.user = find_id(users, get<std::string>(value, "user", where), "user", where);
    const auto position = get<int64_t>(value, "position", where);
    const int64_t begin = dataset.user_offsets[row.user];
    const int64_t length = dataset.user_offsets[row.user + 1] - begin;
    CHECK(position >= 0 && position < length, kInput, "{}: expected a position below {}, found {}",
          where, length, position);
    row.position = begin + position;
    const auto ids = get<std::vector<std::string>>(value, "candidates", where);
    const auto slot = get<int32_t>(value, "target", where);
    CHECK(static_cast<int64_t>(ids.size()) == set.options.count, kInput,
          "{}: expected {} candidates, found {}", where, set.options.count, ids.size());
    CHECK(slot >= 0 && slot < set.options.count, kInput,
          "{}: expected a target slot below {}, found {}", where, set.options.count, slot);
    for (const std::string& id : ids) set.items.push_back(find_id(items, id, "item", where));
    CHECK(set.items[set.items.size() - ids.size() + slot] == dataset.items[row.position], kInput,
          "{}: candidate {} is not the target of this row", where, slot + 1);
    set.rows.push_back(row);
    set.slots.push_back(slot);
  });
  CHECK(static_cast<int64_t>(set.rows.size()) == expected_rows && !set.hash.empty(), kInput,
        "{}: expected {} rows, found {}", path.string(), expected_rows, set.rows.size());
  const std::string found = candidate_hash(set);
  CHECK(found == set.hash, kInput, "{}: expected hash {}, found {}", path.string(), set.hash,
        found);
  return set;
}

}  // namespace etrlrec
