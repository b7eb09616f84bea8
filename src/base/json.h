// JSON for files and messages. Include this header in .cc files only; headers use
// nlohmann/json_fwd.hpp. Typed getters whose errors (kInput) name the document, the path inside it,
// expected and actual.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"

// Generated once, in json.cc: a unit that reads JSON compiles in two thirds of the time.
extern template class nlohmann::basic_json<>;
extern template class nlohmann::basic_json<nlohmann::ordered_map>;

namespace etrlrec {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

// Parses a whole document; `name` (a path or "request") is used in errors. Depth is limited to 64.
Json parse_json(std::string_view text, const std::string& name);
Json read_json(const std::filesystem::path& path);
void write_json_atomic(const std::filesystem::path& path, const OrderedJson& value);
// One JSON value per line; errors name path:line. Blank lines are refused.
void for_each_json_line(const std::filesystem::path& path,
                        const std::function<void(const Json& value, int64_t line)>& on_value);

// A text as JSON, in quotes; bytes that are no UTF-8 become U+FFFD.
std::string json_text(std::string_view text);

// True where a C++ value of T holds `value` exactly (floating point: to its precision). The parser
// itself would cut 1.5 to the integer 1, make -1 a huge unsigned number, and has no defined result
// for 1e57 as an integer.
template <typename T>
struct Holds {
  static bool all_of(const Json&) { return true; }  // the parser checks this type itself
};

template <std::floating_point T>
struct Holds<T> {
  static bool all_of(const Json& value) {
    return value.is_number() &&
           std::abs(value.get<double>()) <= static_cast<double>(std::numeric_limits<T>::max());
  }
};

template <>
struct Holds<bool> {
  static bool all_of(const Json& value) { return value.is_boolean(); }
};

template <std::integral T>
struct Holds<T> {
  static bool all_of(const Json& value) {
    if (value.is_number_unsigned()) return std::in_range<T>(value.get<uint64_t>());
    if (value.is_number_integer()) return std::in_range<T>(value.get<int64_t>());
    if (!value.is_number_float()) return false;
    // Other programs write 1e6 or 4096.0. The first power of two above T is a double without
    // rounding, the largest T may not be.
    const double number = value.get<double>();
    const double above = std::ldexp(1.0, std::numeric_limits<T>::digits);
    return std::trunc(number) == number && number < above &&
           number >= (std::is_signed_v<T> ? -above : 0.0);
  }
};

template <typename T>
struct Holds<std::vector<T>> {
  static bool all_of(const Json& value) {
    return value.is_array() && std::all_of(value.begin(), value.end(), Holds<T>::all_of);
  }
};

template <typename First, typename Second>
struct Holds<std::pair<First, Second>> {
  static bool all_of(const Json& value) {
    return value.is_array() && value.size() == 2 && Holds<First>::all_of(value[0]) &&
           Holds<Second>::all_of(value[1]);
  }
};

template <typename T>
struct Holds<std::map<std::string, T>> {
  static bool all_of(const Json& value) {
    return value.is_object() && std::all_of(value.begin(), value.end(), Holds<T>::all_of);
  }
};

// get<int64_t>(json, "hidden_size", "config.json"): error when absent, of another type, or a number
// that T does not hold.
template <typename T>
T get(const Json& object, const std::string& key, const std::string& name) {
  CHECK(object.is_object() && object.contains(key), kInput, "{}: key \"{}\" is missing", name, key);
  const Json& value = object.at(key);
  try {
    if (Holds<T>::all_of(value)) return value.get<T>();
  } catch (const nlohmann::json::exception&) {  // another type: said below
  }
  fail(ExitCode::kInput, "{}: key \"{}\" has the wrong type or is out of range: {}", name, key,
       value.dump(-1, ' ', false, Json::error_handler_t::replace));
}

// The same with a default when the key is absent or null.
template <typename T>
T get_or(const Json& object, const std::string& key, T fallback, const std::string& name) {
  if (!object.is_object() || !object.contains(key) || object.at(key).is_null()) return fallback;
  return get<T>(object, key, name);
}

}  // namespace etrlrec
