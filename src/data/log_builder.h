// Collects a catalogue and interactions in the order of the input and makes a data set of them.
// Internal to data/; others use readers.h.
#pragma once

#include <cstdint>
#include <optional>
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
  int32_t index(std::string_view text);  // adds what is new
  std::vector<std::string> take();       // the strings by index

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  std::unordered_map<std::string, int32_t, Hash, std::equal_to<>> index_;
};

// Numbers or dates: the first value that is either decides for the whole column.
class TimeColumn {
 public:
  std::optional<double> parse(std::string_view text);
  // Whole seconds; the unit of numbers follows from the magnitude of their median. `unit` says
  // which.
  std::vector<int64_t> to_seconds(const std::vector<double>& raw, std::string& unit) const;

 private:
  enum class Kind { kUnknown, kNumber, kDate } kind_ = Kind::kUnknown;
};

class LogBuilder {
 public:
  // False when the id is known already.
  bool add_item(std::string_view id, std::string title);
  void add_attribute(const std::string& field, const std::string& name);  // of the last item added
  void add_field(const std::string& field);
  void add_interaction(std::string_view user, std::string_view item, double raw_time);
  void add_rating(float rating) { ratings_.push_back(rating); }
  // Consumes the builder; fills times, ties, duplicates and titles of the report.
  Dataset finish(const TimeColumn& time, bool keep_duplicates, ReadReport& report);

 private:
  std::vector<int64_t> sorted_order(std::vector<int64_t>& user_offsets, int64_t num_users) const;
  void finish_titles(Catalogue& catalogue, ReadReport& report);

  Catalogue catalogue_;
  Interner users_, item_index_;
  std::unordered_map<std::string, int32_t> field_index_, attribute_index_;
  std::vector<int32_t> user_, item_;  // [I] in the order of the input
  std::vector<double> time_;
  std::vector<float> ratings_;
};

}  // namespace etrlrec
