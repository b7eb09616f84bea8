#include "data/json_cells.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/strings.h"
#include "data/python_literal.h"
#include "data/table.h"

namespace etrlrec {
namespace {

constexpr size_t kMaxDepth = 64;

// Builds a document in which decimals are texts.
class SpelledNumbers : public nlohmann::json_sax<Json> {
 public:
  Json root;

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t& spelling) override {
    const bool digits = spelling.find_first_of(".eE") == std::string::npos;
    if (digits) return add(spelling);  // longer than 64 bits
    const auto whole = whole_number(value);
    return add(whole ? *whole : spelling);
  }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t& /*value*/) override { return false; }
  bool start_object(std::size_t /*size*/) override { return open(Json::object()); }
  bool key(string_t& value) override {
    key_ = std::move(value);
    return true;
  }
  bool end_object() override { return close(); }
  bool start_array(std::size_t /*size*/) override { return open(Json::array()); }
  bool end_array() override { return close(); }
  bool parse_error(std::size_t /*position*/, const std::string& /*token*/,
                   const nlohmann::detail::exception& /*error*/) override {
    return false;
  }

 private:
  Json* place(Json value) {
    if (open_.empty()) return &(root = std::move(value));
    Json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    return &(parent[key_] = std::move(value));
  }
  bool add(Json value) {
    place(std::move(value));
    return true;
  }
  bool open(Json value) {
    if (open_.size() == kMaxDepth) return false;
    open_.push_back(place(std::move(value)));
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  std::vector<Json*> open_;  // an element of a list moves only after it is closed
  std::string key_;
};

void append_leaves(const Json& value, std::vector<std::string>& leaves) {
  if (value.is_object()) {
    for (const char* key : {"name", "title"}) {
      if (const auto found = value.find(key); found != value.end())
        return append_leaves(*found, leaves);
    }
  }
  if (value.is_structured()) {
    for (const Json& element : value) append_leaves(element, leaves);
  } else if (!value.is_null()) {
    leaves.push_back(value.is_string() ? value.get<std::string>() : value.dump());
  }
}

}  // namespace

std::optional<std::string> whole_number(double value) {
  if (!(std::abs(value) < 0x1p53) || value != std::trunc(value)) return std::nullopt;
  return std::to_string(static_cast<int64_t>(value));
}

std::optional<Json> parse_object(std::string_view line, ObjectSyntax syntax) {
  if (syntax == ObjectSyntax::kPython) {
    auto value = parse_python_literal(line);
    return value && value->is_object() ? std::move(value) : std::nullopt;
  }
  SpelledNumbers document;
  if (!Json::sax_parse(line, &document) || !document.root.is_object()) return std::nullopt;
  return std::move(document.root);
}

const Json* find_cell(const Json& object, const std::string& column) {
  if (const auto found = object.find(column); found != object.end()) return &*found;
  const Json* value = &object;
  std::string_view rest = column;
  while (true) {
    const size_t dot = rest.find('.');
    if (!value->is_object()) return nullptr;
    const auto found = value->find(std::string(rest.substr(0, dot)));
    if (found == value->end()) return nullptr;
    value = &*found;
    if (dot == std::string_view::npos) return value;
    rest.remove_prefix(dot + 1);
  }
}

std::string cell_text(const Json& value) {
  if (value.is_null()) return {};
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array()) return value.dump(-1, ' ', false, Json::error_handler_t::replace);
  std::vector<std::string> leaves;
  append_leaves(value, leaves);
  std::string out;
  for (const std::string& leaf : leaves) {
    if (!out.empty()) out += kListSeparator;
    out += leaf;
  }
  return out;
}

std::optional<std::vector<std::string>> listed_names(std::string_view cell) {
  const std::string_view text = trim(cell);
  if (text.size() < 2) return std::nullopt;
  const char first = text.front(), last = text.back();
  const bool bracketed = (first == '[' && last == ']') || (first == '(' && last == ')') ||
                         (first == '{' && last == '}');
  const bool quoted = (first == '\'' || first == '"') && first == last;
  if (!bracketed && !quoted) return std::nullopt;
  std::optional<Json> value;
  if (bracketed) {
    const Json json = Json::parse(text, nullptr, false);
    value = json.is_discarded() ? parse_python_literal(text) : std::optional(json);
  } else {
    value = parse_python_literal("[" + std::string(text) + "]");
  }
  if (!value || !value->is_structured()) return std::nullopt;
  std::vector<std::string> names;
  append_leaves(*value, names);
  return names;
}

}  // namespace etrlrec
