// The dataset folder and its checks. Binary files start with eight magic bytes and hold
// little-endian columns only; every size follows from the counts in the header, so a truncated or
// padded file is refused before anything is read.
#include "data/dataset.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <unordered_map>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/sha256.h"
#include "data/interner.h"
#include "data/thread_group.h"

namespace etrlrec {
namespace {

static_assert(std::endian::native == std::endian::little, "binary files are little-endian");

constexpr std::string_view kInteractionsMagic = "ETRLINT1";
constexpr std::string_view kSplitMagic = "ETRLSPL1";
constexpr const char* kHashedFiles[] = {"items.jsonl", "users.txt", "interactions.bin",
                                        "split.bin"};

template <typename T>
void append(std::string& out, std::span<const T> values) {
  out.append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
}

void append_number(std::string& out, int64_t value) {
  append(out, std::span<const int64_t>(&value, 1));
}

// Reads columns off a mapped file; asking for more than there is, or leaving something, is an
// error.
class ColumnReader {
 public:
  ColumnReader(std::string_view bytes, std::string_view magic, std::string name)
      : bytes_(bytes), name_(std::move(name)) {
    CHECK(bytes_.starts_with(magic), kInput, "{}: expected a file that starts with \"{}\"", name_,
          magic);
    bytes_.remove_prefix(magic.size());
  }

  template <typename T>
  std::vector<T> column(int64_t count, const char* what) {
    CHECK(count >= 0 && static_cast<uint64_t>(count) <= bytes_.size() / sizeof(T), kInput,
          "{}: expected {} values of {}, found {} bytes left", name_, count, what, bytes_.size());
    std::vector<T> values(static_cast<size_t>(count));
    if (count > 0) std::memcpy(values.data(), bytes_.data(), values.size() * sizeof(T));
    bytes_.remove_prefix(values.size() * sizeof(T));
    return values;
  }
  int64_t number(const char* what) { return column<int64_t>(1, what)[0]; }
  void finish() const {
    CHECK(bytes_.empty(), kInput, "{}: expected the end of the file, found {} more bytes", name_,
          bytes_.size());
  }

 private:
  std::string_view bytes_;
  std::string name_;
};

// Attribute indices of one item, grouped by field, stored order kept inside a field.
std::vector<int32_t> grouped_attributes(const Catalogue& catalogue, int64_t item) {
  const auto attributes = catalogue.attributes_of(item);
  std::vector<int32_t> grouped(attributes.begin(), attributes.end());
  std::stable_sort(grouped.begin(), grouped.end(), [&](int32_t a, int32_t b) {
    return catalogue.attribute_fields[a] < catalogue.attribute_fields[b];
  });
  return grouped;
}

// As JSON; most texts need no escapes.
void append_quoted(const std::string& value, std::string& out) {
  const bool plain = std::all_of(value.begin(), value.end(), [](char c) {
    return c >= ' ' && c < '\x7f' && c != '"' && c != '\\';
  });
  out += plain ? '"' + value + '"' : Json(value).dump();
}

std::string items_text(const Catalogue& catalogue) {
  OrderedJson header = {{"format", "etrlrec-items"},
                        {"version", 1},
                        {"items", catalogue.num_items()},
                        {"fields", catalogue.fields}};
  OrderedJson& attributes = header["attributes"] = OrderedJson::array();
  for (size_t a = 0; a < catalogue.attributes.size(); ++a) {
    attributes.push_back({catalogue.attribute_fields[a], catalogue.attributes[a]});
  }
  std::string text = header.dump() + "\n";
  for (int64_t i = 0; i < catalogue.num_items(); ++i) {
    text += "{\"id\":";
    append_quoted(catalogue.item_ids[i], text);
    text += ",\"title\":";
    append_quoted(catalogue.titles[i], text);
    OrderedJson values = OrderedJson::object();
    for (const int32_t a : grouped_attributes(catalogue, i)) {
      values[catalogue.fields[catalogue.attribute_fields[a]]].push_back(catalogue.attributes[a]);
    }
    text += ",\"attributes\":";
    text += values.empty() ? "{}" : values.dump();
    text += "}\n";
  }
  return text;
}

std::string users_text(const Dataset& dataset) {
  std::string text;
  for (const std::string& id : dataset.user_ids) text += id + "\n";
  return text;
}

std::string interactions_bytes(const Dataset& dataset) {
  std::string bytes(kInteractionsMagic);
  bytes.reserve(64 + 8 * dataset.user_offsets.size() + 16 * dataset.items.size());
  append_number(bytes, dataset.num_users());
  append_number(bytes, dataset.num_interactions());
  append_number(bytes, dataset.ratings.empty() ? 0 : 1);
  append(bytes, std::span<const int64_t>(dataset.user_offsets));
  append(bytes, std::span<const int64_t>(dataset.times));
  append(bytes, std::span<const int32_t>(dataset.items));
  append(bytes, std::span<const float>(dataset.ratings));
  return bytes;
}

// Rows of one part as runs (user, first position, one past the last): most parts are one run per
// user.
std::vector<int64_t> row_runs(const std::vector<Row>& rows) {
  std::vector<int64_t> runs;
  for (const Row& row : rows) {
    const size_t n = runs.size();
    if (n > 0 && runs[n - 3] == row.user && runs[n - 1] == row.position) {
      ++runs[n - 1];
    } else {
      runs.insert(runs.end(), {row.user, row.position, row.position + 1});
    }
  }
  return runs;
}

std::string split_bytes(const Split& split) {
  std::string bytes(kSplitMagic);
  append_number(bytes, static_cast<int64_t>(split.train_end.size()));
  append(bytes, std::span<const int64_t>(split.train_end));
  for (const auto* rows : {&split.train, &split.valid, &split.test}) {
    const auto runs = row_runs(*rows);
    append_number(bytes, static_cast<int64_t>(runs.size() / 3));
    append(bytes, std::span<const int64_t>(runs));
  }
  return bytes;
}

std::vector<Row> read_rows(ColumnReader& reader, std::span<const int64_t> user_offsets,
                           const std::string& name) {
  const int64_t count = reader.number("runs");
  CHECK(count >= 0 && count < (int64_t{1} << 40), kInput, "{}: expected a number of runs, found {}",
        name, count);
  const auto runs = reader.column<int64_t>(3 * count, "runs");
  const int64_t num_users = static_cast<int64_t>(user_offsets.size()) - 1;
  std::vector<Row> rows;
  for (size_t r = 0; r < runs.size(); r += 3) {
    const int64_t user = runs[r], begin = runs[r + 1], end = runs[r + 2];
    CHECK(user >= 0 && user < num_users, kInput, "{}: expected a user below {}, found {}", name,
          num_users, user);
    CHECK(begin > user_offsets[user] && begin < end && end <= user_offsets[user + 1], kInput,
          "{}: run [{}, {}) lies outside the sequence of user {}", name, begin, end, user);
    for (int64_t p = begin; p < end; ++p) rows.push_back({static_cast<int32_t>(user), p});
  }
  return rows;
}

Json read_manifest(const fs::path& folder) {
  const fs::path path = folder / "split.json";
  CHECK(fs::exists(path), kInput,
        "{}: expected a dataset folder, found no split.json in it\n"
        "hint: etrlrec prepare --out {}",
        folder.string(), folder.string());
  Json manifest = read_json(path);
  const std::string name = path.string();
  CHECK(get<std::string>(manifest, "format", name) == "etrlrec-dataset", kInput,
        "{}: expected format \"etrlrec-dataset\", found \"{}\"", name,
        get<std::string>(manifest, "format", name));
  CHECK(get<int64_t>(manifest, "version", name) == 1, kInput, "{}: expected version 1, found {}",
        name, get<int64_t>(manifest, "version", name));
  return manifest;
}

void check_hash(const Json& manifest, const fs::path& folder, const std::string& file) {
  const std::string name = (folder / "split.json").string();
  const auto expected = get<std::string>(get<Json>(manifest, "sha256", name), file, name);
  const std::string found = sha256_file(folder / file);
  CHECK(expected == found, kInput, "{}: expected SHA-256 {}, found {}", (folder / file).string(),
        expected, found);
}

// Reads items.jsonl line by line into a catalogue.
class CatalogueReader {
 public:
  explicit CatalogueReader(std::string name) : name_(std::move(name)) {}

  void read(const Json& value, int64_t line) {
    const std::string where = fmt::format("{}:{}", name_, line);
    if (line == 1) {
      read_header(value, where);
    } else {
      read_item(value, where);
    }
  }

  Catalogue finish() {
    CHECK(catalogue_.num_items() == expected_items_, kInput, "{}: expected {} items, found {}",
          name_, expected_items_, catalogue_.num_items());
    return std::move(catalogue_);
  }

 private:
  void read_header(const Json& value, const std::string& where) {
    CHECK(get<std::string>(value, "format", where) == "etrlrec-items", kInput,
          "{}: expected format \"etrlrec-items\"", where);
    expected_items_ = get<int64_t>(value, "items", where);
    catalogue_.fields = get<std::vector<std::string>>(value, "fields", where);
    using Attribute = std::pair<int32_t, std::string>;
    for (auto& [field, attribute] : get<std::vector<Attribute>>(value, "attributes", where)) {
      CHECK(field >= 0 && static_cast<size_t>(field) < catalogue_.fields.size(), kInput,
            "{}: attribute \"{}\" names field {}, found {} fields", where, attribute, field,
            catalogue_.fields.size());
      const auto index = static_cast<int32_t>(catalogue_.attributes.size());
      CHECK(index_.emplace(key(field, attribute), index).second, kInput,
            "{}: attribute \"{}\" occurs twice", where, attribute);
      catalogue_.attribute_fields.push_back(field);
      catalogue_.attributes.push_back(std::move(attribute));
    }
  }

  void read_item(const Json& value, const std::string& where) {
    catalogue_.item_ids.push_back(get<std::string>(value, "id", where));
    catalogue_.titles.push_back(get<std::string>(value, "title", where));
    const Json values = get<Json>(value, "attributes", where);
    size_t known_fields = 0;
    for (size_t f = 0; f < catalogue_.fields.size(); ++f) {
      if (!values.contains(catalogue_.fields[f])) continue;
      ++known_fields;
      for (const auto& attribute :
           get<std::vector<std::string>>(values, catalogue_.fields[f], where)) {
        const auto found = index_.find(key(static_cast<int32_t>(f), attribute));
        CHECK(found != index_.end(), kInput, "{}: attribute \"{}\" is not in the header", where,
              attribute);
        catalogue_.attribute_ids.push_back(found->second);
      }
    }
    CHECK(values.is_object() && values.size() == known_fields, kInput,
          "{}: attributes name a field that is not in the header", where);
    catalogue_.attribute_offsets.push_back(static_cast<int64_t>(catalogue_.attribute_ids.size()));
  }

  static std::string key(int32_t field, const std::string& attribute) {
    return std::to_string(field) + ":" + attribute;
  }

  std::string name_;
  Catalogue catalogue_;
  int64_t expected_items_ = 0;
  std::unordered_map<std::string, int32_t> index_;
};

void check_unique_ids(const std::vector<std::string>& ids, const char* what,
                      const std::string& name) {
  Interner seen;
  for (const std::string& id : ids) {
    CHECK(!id.empty(), kInput, "{}: empty {} id", name, what);
    CHECK(std::none_of(id.begin(), id.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }),
          kInput, "{}: {} id \"{}\" holds a control character", name, what, id);
    const int64_t before = seen.size();
    CHECK(seen.index(id) == before, kInput, "{}: {} id \"{}\" occurs twice", name, what, id);
  }
}

void check_offsets(std::span<const int64_t> offsets, int64_t rows, int64_t total, const char* what,
                   const std::string& name) {
  CHECK(static_cast<int64_t>(offsets.size()) == rows + 1 && offsets.front() == 0 &&
            offsets.back() == total && std::is_sorted(offsets.begin(), offsets.end()),
        kInput, "{}: {} must have {} ascending values from 0 to {}", name, what, rows + 1, total);
}

void check_catalogue(const Catalogue& catalogue, const std::string& name) {
  const int64_t n = catalogue.num_items();
  CHECK(static_cast<int64_t>(catalogue.titles.size()) == n, kInput,
        "{}: expected {} titles, found {}", name, n, catalogue.titles.size());
  check_unique_ids(catalogue.item_ids, "item", name);
  check_offsets(catalogue.attribute_offsets, n,
                static_cast<int64_t>(catalogue.attribute_ids.size()), "attribute offsets", name);
  const auto num_attributes = static_cast<int32_t>(catalogue.attributes.size());
  CHECK(catalogue.attribute_fields.size() == catalogue.attributes.size(), kInput,
        "{}: expected a field for each of {} attributes, found {}", name, num_attributes,
        catalogue.attribute_fields.size());
  for (const int32_t a : catalogue.attribute_ids) {
    CHECK(a >= 0 && a < num_attributes, kInput, "{}: expected an attribute below {}, found {}",
          name, num_attributes, a);
  }
  for (const int32_t f : catalogue.attribute_fields) {
    CHECK(f >= 0 && static_cast<size_t>(f) < catalogue.fields.size(), kInput,
          "{}: expected an attribute field below {}, found {}", name, catalogue.fields.size(), f);
  }
}

}  // namespace

void check_dataset(const Dataset& dataset, const std::string& name) {
  check_catalogue(dataset.catalogue, name);
  check_unique_ids(dataset.user_ids, "user", name);
  const int64_t count = dataset.num_interactions();
  CHECK(static_cast<int64_t>(dataset.times.size()) == count, kInput,
        "{}: expected {} times, found {}", name, count, dataset.times.size());
  CHECK(dataset.ratings.empty() || static_cast<int64_t>(dataset.ratings.size()) == count, kInput,
        "{}: expected {} ratings, found {}", name, count, dataset.ratings.size());
  check_offsets(dataset.user_offsets, dataset.num_users(), count, "user offsets", name);
  const int64_t num_items = dataset.catalogue.num_items();
  for (int64_t u = 0; u < dataset.num_users(); ++u) {
    for (int64_t p = dataset.user_offsets[u]; p < dataset.user_offsets[u + 1]; ++p) {
      CHECK(dataset.items[p] >= 0 && dataset.items[p] < num_items, kInput,
            "{}: expected an item below {}, found {} at interaction {}", name, num_items,
            dataset.items[p], p);
      CHECK(p == dataset.user_offsets[u] || dataset.times[p - 1] <= dataset.times[p], kInput,
            "{}: times of user \"{}\" go back at interaction {}", name, dataset.user_ids[u], p);
    }
  }
}

void check_split(const Split& split, std::span<const int64_t> user_offsets,
                 const std::string& name) {
  const auto num_users = static_cast<int64_t>(user_offsets.size()) - 1;
  CHECK(static_cast<int64_t>(split.train_end.size()) == num_users, kInput,
        "{}: expected {} users, found {}", name, num_users, split.train_end.size());
  for (int64_t u = 0; u < num_users; ++u) {
    CHECK(split.train_end[u] >= user_offsets[u] && split.train_end[u] <= user_offsets[u + 1],
          kInput, "{}: training of user {} ends at {}, outside [{}, {}]", name, u,
          split.train_end[u], user_offsets[u], user_offsets[u + 1]);
  }
  const auto check_row = [&](const Row& row, bool train) {
    CHECK(row.user >= 0 && row.user < num_users && row.position > user_offsets[row.user] &&
              row.position < user_offsets[row.user + 1],
          kInput, "{}: row ({}, {}) lies outside its user's sequence", name, row.user,
          row.position);
    CHECK(train == (row.position < split.train_end[row.user]), kInput,
          "{}: row ({}, {}) lies on the wrong side of the training end {}", name, row.user,
          row.position, split.train_end[row.user]);
  };
  for (const Row& row : split.train) check_row(row, true);
  for (const Row& row : split.valid) check_row(row, false);
  for (const Row& row : split.test) check_row(row, false);
}

void save_dataset(const Dataset& dataset, const Split& split, const fs::path& folder) {
  check_dataset(dataset, "dataset");
  check_split(split, dataset.user_offsets, "split");
  const std::array<std::string, 4> texts = {items_text(dataset.catalogue), users_text(dataset),
                                            interactions_bytes(dataset), split_bytes(split)};
  std::array<std::string, 4> hashes;
  run_threads(2, [&](int32_t t) {
    for (size_t f = 0; f < texts.size(); ++f) {
      if (t == 0) {
        write_file_atomic(folder / kHashedFiles[f], texts[f]);
      } else {
        hashes[f] = sha256_hex(texts[f]);
      }
    }
  });
  OrderedJson manifest = {{"format", "etrlrec-dataset"},
                          {"version", 1},
                          {"protocol", split.protocol},
                          {"users", dataset.num_users()},
                          {"items", dataset.catalogue.num_items()},
                          {"interactions", dataset.num_interactions()},
                          {"train_rows", split.train.size()},
                          {"valid_rows", split.valid.size()},
                          {"test_rows", split.test.size()},
                          {"catalogue", hashes[0]}};
  if (dataset.order_only) manifest["times"] = "order";
  for (size_t f = 0; f < texts.size(); ++f) manifest["sha256"][kHashedFiles[f]] = hashes[f];
  write_json_atomic(folder / "split.json", manifest);
}

Dataset load_dataset(const fs::path& folder) {
  const Json manifest = read_manifest(folder);
  for (const char* file : {"items.jsonl", "users.txt", "interactions.bin"}) {
    check_hash(manifest, folder, file);
  }
  Dataset dataset;
  dataset.order_only = manifest.value("times", "") == "order";
  CatalogueReader catalogue((folder / "items.jsonl").string());
  for_each_json_line(folder / "items.jsonl",
                     [&](const Json& value, int64_t line) { catalogue.read(value, line); });
  dataset.catalogue = catalogue.finish();
  for_each_line(folder / "users.txt",
                [&](std::string_view line, int64_t) { dataset.user_ids.emplace_back(line); });

  const MappedFile file(folder / "interactions.bin");
  const std::string name = (folder / "interactions.bin").string();
  ColumnReader reader(file.text(), kInteractionsMagic, name);
  const int64_t users = reader.number("users"), count = reader.number("interactions");
  const int64_t has_ratings = reader.number("flag");
  CHECK(users == dataset.num_users(), kInput, "{}: expected {} users as in users.txt, found {}",
        name, dataset.num_users(), users);
  CHECK(has_ratings == 0 || has_ratings == 1, kInput, "{}: expected a flag 0 or 1, found {}", name,
        has_ratings);
  dataset.user_offsets = reader.column<int64_t>(users + 1, "user offsets");
  dataset.times = reader.column<int64_t>(count, "times");
  dataset.items = reader.column<int32_t>(count, "items");
  dataset.ratings = reader.column<float>(has_ratings * count, "ratings");
  reader.finish();
  check_dataset(dataset, folder.string());
  return dataset;
}

Split load_split(const fs::path& folder) {
  const Json manifest = read_manifest(folder);
  check_hash(manifest, folder, "split.bin");
  const MappedFile interactions(folder / "interactions.bin");
  ColumnReader columns(interactions.text(), kInteractionsMagic,
                       (folder / "interactions.bin").string());
  const int64_t users = columns.number("users");
  const int64_t count = columns.number("interactions");
  columns.number("flag");
  const auto offsets = columns.column<int64_t>(users + 1, "user offsets");
  check_offsets(offsets, users, count, "user offsets", (folder / "interactions.bin").string());

  Split split;
  split.protocol = get<std::string>(manifest, "protocol", (folder / "split.json").string());
  const MappedFile file(folder / "split.bin");
  const std::string name = (folder / "split.bin").string();
  ColumnReader reader(file.text(), kSplitMagic, name);
  split.train_end = reader.column<int64_t>(reader.number("users"), "training ends");
  for (auto* rows : {&split.train, &split.valid, &split.test}) {
    *rows = read_rows(reader, offsets, name);
  }
  reader.finish();
  check_split(split, offsets, name);
  return split;
}

std::string catalogue_hash(const Catalogue& catalogue) { return sha256_hex(items_text(catalogue)); }

std::string normalise_title(std::string_view title) {
  std::string out;
  for (const char c : title) {
    const bool space = c == ' ' || (c >= '\t' && c <= '\r');
    if (!space) {
      out += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    } else if (!out.empty() && out.back() != ' ') {
      out += ' ';
    }
  }
  if (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

std::vector<int32_t> canonical_items(const Catalogue& catalogue) {
  Interner titles;
  std::vector<int32_t> first;  // the item of each title
  std::vector<int32_t> canonical(catalogue.titles.size());
  for (size_t i = 0; i < canonical.size(); ++i) {
    const auto title = static_cast<size_t>(titles.index(normalise_title(catalogue.titles[i])));
    if (title == first.size()) first.push_back(static_cast<int32_t>(i));
    canonical[i] = first[title];
  }
  return canonical;
}

}  // namespace etrlrec
