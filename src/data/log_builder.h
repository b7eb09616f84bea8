// Collects a catalogue and interactions in the order of the input and makes a data set of them.
// Internal to data/; others use readers.h.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "data/dataset.h"
#include "data/interner.h"
#include "data/log_rows.h"
#include "data/reader_options.h"

namespace etrlrec {

class LogBuilder {
 public:
  // False when the id is known already.
  bool add_item(std::string_view id, std::string title);
  void add_attribute(const std::string& field, const std::string& name);  // of the last item added
  void add_field(const std::string& field);
  // The next block of interactions, read by reader number `reader`.
  void add_rows(const LogRows& rows, int32_t reader);
  // Once, behind the last block: ids are numbered in the order in which the log names them.
  void take_ids(std::span<const LogRowReader* const> readers);
  void drop_ratings() { ratings_.clear(); }
  // "user | item" of interactions, for messages.
  std::vector<std::string> shown(std::span<const int64_t> interactions) const;
  // Consumes the builder. `seconds`: time of each interaction, in full resolution; `dropped`: those
  // that are left out, ascending. Users and items that only they name are left out, too, unless the
  // catalogue has the item. Fills ties, duplicates and titles of the report.
  Dataset finish(std::vector<double> seconds, std::span<const int64_t> dropped,
                 bool keep_duplicates, int32_t threads, ReadReport& report);

 private:
  void drop(std::span<const int64_t> dropped, std::vector<double>& seconds);
  void finish_titles(Catalogue& catalogue, ReadReport& report);

  Catalogue catalogue_;
  Interner users_, item_index_;
  std::unordered_map<std::string, int32_t> field_index_, attribute_index_;
  int64_t catalogue_items_ = 0;  // those of the catalogue; the others only the log names
  std::vector<std::pair<size_t, int32_t>> readers_;  // of the interactions up to this one
  std::vector<int32_t> user_, item_;                 // [I] in the order of the input
  std::vector<float> ratings_;
};

}  // namespace etrlrec
