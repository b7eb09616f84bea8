// Collects a catalogue and interactions in the order of the input and makes a data set of them.
// Internal to data/; others use readers.h.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "data/dataset.h"
#include "data/reader_options.h"

namespace etrlrec {

// Dense indices for strings in order of first appearance.
class Interner {
 public:
  int32_t index(std::string_view text);    // adds what is new
  std::vector<std::string> texts() const;  // by index

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  std::unordered_map<std::string, int32_t, Hash, std::equal_to<>> index_;
};

class LogBuilder {
 public:
  // False when the id is known already.
  bool add_item(std::string_view id, std::string title);
  void add_attribute(const std::string& field, const std::string& name);  // of the last item added
  void add_field(const std::string& field);
  void add_interaction(std::string_view user, std::string_view item);
  void add_rating(float rating) { ratings_.push_back(rating); }  // of the last interaction
  void drop_ratings() { ratings_.clear(); }
  // "user | item" of interactions, for messages.
  std::vector<std::string> shown(std::span<const int64_t> interactions) const;
  // Consumes the builder. `seconds`: time of each interaction, in full resolution; `dropped`: those
  // that are left out, ascending. Users and items that only they name are left out, too, unless the
  // catalogue has the item. Fills ties, duplicates and titles of the report.
  Dataset finish(std::vector<double> seconds, std::span<const int64_t> dropped,
                 bool keep_duplicates, ReadReport& report);

 private:
  void drop(std::span<const int64_t> dropped, std::vector<double>& seconds);
  std::vector<int64_t> sorted_order(const std::vector<double>& seconds,
                                    std::vector<int64_t>& user_offsets, int64_t num_users) const;
  void finish_titles(Catalogue& catalogue, ReadReport& report);

  Catalogue catalogue_;
  Interner users_, item_index_;
  std::unordered_map<std::string, int32_t> field_index_, attribute_index_;
  int64_t catalogue_items_ = 0;       // those of the catalogue; the others only the log names
  std::vector<int32_t> user_, item_;  // [I] in the order of the input
  std::vector<float> ratings_;
};

}  // namespace etrlrec
