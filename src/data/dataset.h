// A data set in memory: a catalogue with text and attributes, and interactions as columns, sorted
// by user, then time; equal times keep the order of the input. Inside the program users, items and
// attributes are dense indices from 0; their string ids are kept for every output. 16 bytes per
// interaction.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace etrlrec {

struct Catalogue {
  std::vector<std::string> item_ids;          // [N] ids as in the source
  std::vector<std::string> titles;            // [N]
  std::vector<std::string> attributes;        // [A] names, e.g. "drama"; unique per field
  std::vector<std::string> fields;            // attribute kinds, e.g. {"genre", "tone"}
  std::vector<int32_t> attribute_fields;      // [A] index into fields
  std::vector<int64_t> attribute_offsets{0};  // [N + 1] into attribute_ids
  std::vector<int32_t> attribute_ids;         // attributes of each item, in the order of the source

  int64_t num_items() const { return static_cast<int64_t>(item_ids.size()); }
  std::span<const int32_t> attributes_of(int64_t item) const {
    return {attribute_ids.data() + attribute_offsets[item],
            static_cast<size_t>(attribute_offsets[item + 1] - attribute_offsets[item])};
  }
};

struct Dataset {
  Catalogue catalogue;
  std::vector<std::string> user_ids;     // [U]
  std::vector<int64_t> user_offsets{0};  // [U + 1] into the columns below
  std::vector<int32_t> items;            // [I]
  std::vector<int64_t> times;            // [I] seconds since 1970, UTC
  std::vector<float> ratings;            // [I], or empty when the source has none
  bool order_only = false;  // times only number the events: no gap and no season means anything

  int64_t num_users() const { return static_cast<int64_t>(user_ids.size()); }
  int64_t num_interactions() const { return static_cast<int64_t>(items.size()); }
};

// One prediction task: interaction `position` of `user` is the target, everything of that user
// before it (in the stored order, so never later in time) is the history, and its time is the
// request time ("now").
struct Row {
  int32_t user = 0;
  int64_t position = 0;  // index into Dataset::items
};

// The three parts of a split. Statistics, recommenders and language models may learn from the
// interactions [user_offsets[u], train_end[u]) only; `train`, `valid` and `test` list the rows to
// predict.
struct Split {
  std::string protocol;            // e.g. "global_time(0.8,0.9)"; part of every metric's name
  std::vector<int64_t> train_end;  // [U] absolute index, exclusive
  std::vector<Row> train, valid, test;
};

// What a prompt may say about a request besides its history and candidates (method/knowledge.h):
// items, best first; empty where nobody was asked.
struct KnownItems {
  std::vector<int32_t> pattern;               // what a recommender puts first
  std::vector<int32_t> lately, after, fresh;  // temporal/moments.h
};

// What a model is asked: who (only as history), when, and among what. No field tells the target but
// target_slot.
struct Request {
  int32_t user = -1;                // -1 for a history given by hand
  std::vector<int32_t> history;     // items, oldest first
  std::vector<int64_t> times;       // of the history, same length
  int64_t now = 0;                  // request time
  std::vector<int32_t> candidates;  // items, in the order they are numbered 1..n
  int32_t target_slot = -1;         // 0-based index of the target among the candidates, -1 unknown
  KnownItems known;
};

// Folder with items.jsonl (header line, then one item per line), users.txt, interactions.bin
// (little-endian columns), split.bin (rows as runs of positions) and split.json (protocol, counts,
// SHA-256 of the other files); docs/formats.md. Writing goes through the caller's FolderWriter;
// loading checks sizes, order and hashes and refuses anything inconsistent (kInput). The attributes
// of an item come back grouped by field, inside a field in stored order.
void save_dataset(const Dataset& dataset, const Split& split, const std::filesystem::path& folder);
Dataset load_dataset(const std::filesystem::path& folder);
Split load_split(const std::filesystem::path& folder);
// SHA-256 over item ids, titles and attributes: stored with every model, checked when they meet
// again.
std::string catalogue_hash(const Catalogue& catalogue);

// Letters A-Z in lower case, white space runs as one space, none at the ends.
std::string normalise_title(std::string_view title);
// [N] the first item that shares the normalised title of each item (method.md G.1): items with
// equal values are one item to a person who reads titles.
std::vector<int32_t> canonical_items(const Catalogue& catalogue);
// Errors (kInput) that name the first violation: offsets, index ranges, time order, unique ids,
// column lengths.
void check_dataset(const Dataset& dataset, const std::string& name);
// Rows must lie inside their user's sequence, after at least one earlier interaction.
void check_split(const Split& split, std::span<const int64_t> user_offsets,
                 const std::string& name);

}  // namespace etrlrec
