#include "method/recommend_users.h"

#include <algorithm>
#include <fstream>
#include <numeric>
#include <set>
#include <unordered_map>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/sha256.h"
#include "base/strings.h"
#include "data/table_writer.h"
#include "method/run_record.h"

namespace etrlrec {
namespace {

constexpr int64_t kFirstBatch = 8, kMostUsers = 256;
constexpr double kShortBatch = 10, kLongBatch = 60;  // seconds; an interruption loses one batch

fs::path beside(const fs::path& out, const char* ending) { return out.string() + ending; }

// What a folder holds: its run record, which no other run has, or its configuration and weights.
std::string identity_of(const fs::path& folder) {
  if (folder.empty()) return "";
  if (fs::exists(folder / "run.json")) return sha256_file(folder / "run.json");
  std::set<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".json" || entry.path().extension() == ".safetensors")
      files.insert(entry.path());
  std::string hashes;
  for (const fs::path& file : files) hashes += file.filename().string() + sha256_file(file);
  return sha256_hex(hashes);
}

// Everything that decides the table.
OrderedJson key_of(const RecommendUsersOptions& options, const Ranker& ranker,
                   std::span<const int32_t> users) {
  std::string ids;
  for (const int32_t user : users) ids += ranker.user_ids()[static_cast<size_t>(user)] + "\n";
  const RankerOptions& ranked = options.ranker;
  OrderedJson adapters = OrderedJson::array();
  for (const std::string& adapter : ranked.adapters) adapters.push_back(identity_of(adapter));
  return {{"data", sha256_file(ranked.data / "split.json")},
          {"model", identity_of(ranked.model)},
          {"adapters", adapters},
          {"recommender", identity_of(ranked.recommender)},
          {"users", sha256_hex(ids)},
          {"k", options.k},
          {"num_candidates", options.num_candidates},
          {"beam", ranked.beam},
          {"trend", ranked.trend},
          {"dtype", ranked.dtype},
          {"arithmetic", name_of(ranked.numerics.arithmetic)}};
}

std::vector<int32_t> chosen_users(const fs::path& file, const std::vector<std::string>& ids) {
  std::vector<int32_t> users;
  if (file.empty()) {
    users.resize(ids.size());
    std::iota(users.begin(), users.end(), 0);
    return users;
  }
  std::unordered_map<std::string, int32_t> index;
  for (size_t user = 0; user < ids.size(); ++user) index[ids[user]] = static_cast<int32_t>(user);
  std::set<int32_t> named;
  for_each_line(file, [&](std::string_view line, int64_t number) {
    const std::string id(trim(line));
    if (id.empty()) return;
    const auto found = index.find(id);
    CHECK(found != index.end(), kInput, "{}:{}: unknown user \"{}\"", file.string(), number, id);
    CHECK(named.insert(found->second).second, kInput, "{}:{}: user \"{}\" is named twice",
          file.string(), number, id);
    users.push_back(found->second);
  });
  CHECK(!users.empty(), kInput, "{}: expected a user id a line, found none", file.string());
  return users;
}

bool has_key(const fs::path& record, const OrderedJson& key) {
  if (!fs::exists(record)) return false;
  const Json found = read_json(record);
  return found.contains("key") && found.at("key") == Json::parse(key.dump());
}

// One line for each finished user, below a line with the key of the run.
class PartFile {
 public:
  PartFile(const fs::path& path, const OrderedJson& key) : path_(path) {
    const std::string header = OrderedJson{{"key", key}}.dump();
    if (!fs::exists(path)) write_file_atomic(path, header + "\n");
    const MappedFile file(path);
    const std::string_view text = file.text();
    CHECK(text.starts_with(header + "\n"), kUsage,
          "{}: begun from other inputs or with other options\nhint: repeat that command, choose "
          "another --out, or remove this file",
          path.string());
    header_bytes_ = header.size() + 1;
  }

  // The number of users that are done. A line that was torn, and what does not follow the order
  // of the users, is cut off.
  int64_t resume(const std::vector<std::string>& ids, std::span<const int32_t> users) {
    int64_t done = 0;
    size_t bytes = header_bytes_;
    {
      const MappedFile file(path_);
      const std::string_view text = file.text();
      for (size_t end = text.find('\n', bytes); end != text.npos && done < std::ssize(users);
           end = text.find('\n', bytes)) {
        const std::string name = fmt::format("{}: user {}", path_.string(), done + 1);
        const Json line = parse_json(text.substr(bytes, end - bytes), name);
        if (get<std::string>(line, "user", name) != ids[static_cast<size_t>(users[done])]) break;
        bytes = end + 1;
        ++done;
      }
    }
    fs::resize_file(path_, bytes);
    return done;
  }

  void append(const std::string& lines) {
    std::ofstream file(path_, std::ios::app | std::ios::binary);
    file << lines << std::flush;
    CHECK(file.good(), kFailure, "{}: cannot write", path_.string());
  }

 private:
  fs::path path_;
  size_t header_bytes_ = 0;
};

std::string line_of(const std::string& user, const Ranking& ranking) {
  std::string items;
  for (const RankedItem& item : ranking.items)
    items += fmt::format("{}[{},{}]", items.empty() ? "" : ",", item.item, item.score);
  return fmt::format("{{\"user\":{},\"items\":[{}]}}\n", json_text(user), items);
}

// Ranks the users from `done` on, in batches that grow while they are short.
void rank_users(const Ranker& ranker, const RecommendUsersOptions& options,
                std::span<const int32_t> users, int64_t done, PartFile& part) {
  const int64_t total = std::ssize(users);
  ProgressBar bar("recommend", total, done);
  for (int64_t size = kFirstBatch; done < total;) {
    const Stopwatch watch;
    const int64_t count = std::min(size, total - done);
    const auto batch = users.subspan(static_cast<size_t>(done), static_cast<size_t>(count));
    const auto rankings =
        ranker.rank(ranker.requests_of_users(batch, options.num_candidates), options.k);
    std::string lines;
    for (size_t i = 0; i < rankings.size(); ++i)
      lines += line_of(ranker.user_ids()[static_cast<size_t>(batch[i])], rankings[i]);
    part.append(lines);
    done += count;
    bar.update(done);
    if (watch.seconds() < kShortBatch) size = std::min(2 * size, kMostUsers);
    if (watch.seconds() > kLongBatch) size = std::max<int64_t>(size / 2, 1);
  }
}

void write_table(const fs::path& part, const fs::path& out, const Catalogue& catalogue) {
  const auto table = new_table_writer(out, {{"user_id", ColumnType::kText},
                                            {"rank", ColumnType::kInteger},
                                            {"item_id", ColumnType::kText},
                                            {"title", ColumnType::kText},
                                            {"score", ColumnType::kFloat}});
  for_each_json_line(part, [&](const Json& line, int64_t number) {
    if (number == 1) return;  // the key
    const std::string name = fmt::format("{}:{}", part.string(), number);
    const auto user = get<std::string>(line, "user", name);
    int64_t rank = 0;
    for (const auto& [item, score] :
         get<std::vector<std::pair<int64_t, float>>>(line, "items", name)) {
      CHECK(item >= 0 && item < catalogue.num_items(), kInput, "{}: no item {}", name, item);
      const auto at = static_cast<size_t>(item);
      table->write(std::vector<Cell>{std::string_view(user), ++rank,
                                     std::string_view(catalogue.item_ids[at]),
                                     std::string_view(catalogue.titles[at]), score});
    }
  });
  table->commit();
}

}  // namespace

RecommendUsersSummary recommend_users(const RecommendUsersOptions& options) {
  const fs::path& out = options.out;
  const fs::path part_path = beside(out, ".part.jsonl"), record = beside(out, ".run.json");
  check_table_name(out);
  Ranker ranker(options.ranker);
  CHECK(!ranker.has_language_model() || options.ranker.recommender.empty() ||
            options.num_candidates == 0 || options.k <= options.num_candidates,
        kUsage, "-k: expected at most the {} of --num-candidates, found {}", options.num_candidates,
        options.k);
  const std::vector<int32_t> users = chosen_users(options.users, ranker.user_ids());
  const OrderedJson key = key_of(options, ranker, users);
  RecommendUsersSummary summary{.users = std::ssize(users)};
  if (fs::exists(out)) {
    CHECK(has_key(record, key), kUsage,
          "{}: exists already and was not made from these inputs with these options\nhint: choose "
          "another --out, or remove it",
          out.string());
    log_info("{}: was made before from the same inputs", out.string());
    return summary;
  }
  if (out.has_parent_path()) fs::create_directories(out.parent_path());
  PartFile part(part_path, key);
  const ExclusiveUse use(part_path);
  const int64_t done = part.resume(ranker.user_ids(), users);
  if (done > 0) log_info("recommend: continuing at user {} of {}", done + 1, users.size());
  const Stopwatch watch;
  if (done < summary.users) {
    if (ranker.has_language_model()) {
      const auto first = std::span(users).first(std::min<size_t>(users.size(), kMostUsers));
      check_memory(ranker.estimate(ranker.requests_of_users(first, options.num_candidates)),
                   available_memory(), "recommend", "a smaller model, or --beam");
    }
    ranker.load();
    rank_users(ranker, options, users, done, part);
  }
  summary.users_now = summary.users - done;
  summary.seconds = watch.seconds();
  write_json_atomic(record, {{"schema_version", 1},
                             {"command", "recommend"},
                             {"version", kVersion},
                             {"users", summary.users},
                             {"seconds", summary.seconds},
                             {"key", key}});
  write_table(part_path, out, ranker.catalogue());
  fs::remove(part_path);
  return summary;
}

double RecommendUsersSummary::users_per_second() const {
  return seconds > 0 ? static_cast<double>(users_now) / seconds : 0;
}

OrderedJson to_json(const RecommendUsersSummary& summary, const fs::path& out) {
  return {{"schema_version", 1},
          {"users", summary.users},
          {"users_now", summary.users_now},
          {"seconds", summary.seconds},
          {"users_per_second", summary.users_per_second()},
          {"out", out.string()}};
}

}  // namespace etrlrec
