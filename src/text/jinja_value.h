// Values of a Jinja rendering: Python's, as far as chat templates see them. Lists and dicts never
// change once made (Jinja's immutable sandbox), so values share them; only the attributes of a
// namespace change. Internal to text/.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "text/jinja_context.h"
#include "text/jinja_text.h"

namespace etrlrec {

enum class JinjaType : int8_t {
  kUndefined,
  kNone,
  kBoolean,
  kInteger,
  kFloat,
  kString,
  kList,
  kTuple,
  kRange,
  kDictView,   // dict.keys(), values(), items()
  kGenerator,  // of filters as map and select: read once, without length
  kDict,
  kNamespace,
  kLoop,
  kCallable,
};

struct JinjaSequence;
struct JinjaDict;
struct JinjaNamespace;
struct JinjaLoop;
struct JinjaCallable;

class JinjaValue {
 public:
  JinjaValue() = default;  // undefined
  explicit JinjaValue(bool value) : type_(JinjaType::kBoolean), value_(value) {}
  explicit JinjaValue(int64_t value) : type_(JinjaType::kInteger), value_(value) {}
  explicit JinjaValue(double value) : type_(JinjaType::kFloat), value_(value) {}
  explicit JinjaValue(JinjaText text);
  JinjaValue(JinjaType type, std::shared_ptr<const JinjaSequence> items)
      : type_(type), value_(std::move(items)) {}
  explicit JinjaValue(std::shared_ptr<const JinjaDict> dict)
      : type_(JinjaType::kDict), value_(std::move(dict)) {}
  // Belongs to the rendering, which outlives its values.
  explicit JinjaValue(JinjaNamespace* object) : type_(JinjaType::kNamespace), value_(object) {}
  explicit JinjaValue(std::shared_ptr<JinjaLoop> loop)
      : type_(JinjaType::kLoop), value_(std::move(loop)) {}
  explicit JinjaValue(std::shared_ptr<const JinjaCallable> callable)
      : type_(JinjaType::kCallable), value_(std::move(callable)) {}
  static JinjaValue undefined(std::string what);  // `what` is named in errors
  static JinjaValue none();
  static JinjaValue text(std::string bytes, bool from_template = false);
  // Of a document; numbers above 64 bits become floats.
  static JinjaValue from_json(const nlohmann::ordered_json& json, bool from_template = false);

  JinjaType type() const { return type_; }
  bool is(JinjaType type) const { return type_ == type; }
  bool is_undefined() const { return type_ == JinjaType::kUndefined; }
  bool is_string() const { return type_ == JinjaType::kString; }
  bool is_integral() const { return is(JinjaType::kInteger) || is(JinjaType::kBoolean); }
  bool is_number() const { return is_integral() || is(JinjaType::kFloat); }
  // A list, tuple, range or view: what has a length and is no text or dict.
  bool is_sized_sequence() const {
    return type_ >= JinjaType::kList && type_ <= JinjaType::kDictView;
  }

  int64_t integer() const;  // of an integer or a boolean
  double number() const;    // of a number
  const JinjaText& text() const { return *std::get<std::shared_ptr<const JinjaText>>(value_); }
  const std::string& bytes() const { return text().bytes(); }
  const JinjaSequence& sequence() const { return *sequence_pointer(); }
  const std::shared_ptr<const JinjaSequence>& sequence_pointer() const {
    return std::get<std::shared_ptr<const JinjaSequence>>(value_);
  }
  const JinjaDict& dict() const { return *std::get<std::shared_ptr<const JinjaDict>>(value_); }
  JinjaNamespace& name_space() const { return *std::get<JinjaNamespace*>(value_); }
  JinjaLoop& loop() const { return *std::get<std::shared_ptr<JinjaLoop>>(value_); }
  const JinjaCallable& callable() const {
    return *std::get<std::shared_ptr<const JinjaCallable>>(value_);
  }
  std::string undefined_name() const;
  int depth() const;  // of lists and dicts in each other, 0 for others
  bool same_object(const JinjaValue& other) const;  // Python's `is`, of what is shared

 private:
  JinjaType type_ = JinjaType::kUndefined;
  std::variant<std::monostate, bool, int64_t, double, std::shared_ptr<const JinjaText>,
               std::shared_ptr<const JinjaSequence>, std::shared_ptr<const JinjaDict>,
               JinjaNamespace*, std::shared_ptr<JinjaLoop>, std::shared_ptr<const JinjaCallable>>
      value_;
};

using JinjaItems = std::vector<JinjaValue>;

struct JinjaSequence {
  JinjaItems items;
  int depth = 1;
  std::string view;          // of a kDictView: dict_keys, ...
  mutable size_t taken = 0;  // of a kGenerator: items read so far
};

struct JinjaDict {
  std::vector<std::pair<JinjaValue, JinjaValue>> entries;  // in the order of the keys' arrival
  std::unordered_map<std::string, size_t> places;          // by dict_key
  int depth = 1;
  const JinjaValue* find(const std::string& dict_key) const;
  const JinjaValue* find_text(std::string_view key) const;
};

struct JinjaNamespace {
  std::unordered_map<std::string, JinjaValue> attributes;
};

// What `loop` is: the place in what a `for` goes over.
struct JinjaLoop {
  std::shared_ptr<const JinjaSequence> items;
  size_t index = 0;
};

struct JinjaStatement;
class JinjaScope;

struct JinjaCallable {
  enum class Kind : int8_t { kFunction, kMethod, kMacro };
  Kind kind = Kind::kFunction;
  std::string name;
  JinjaValue self;                        // of a method
  const JinjaStatement* macro = nullptr;  // or call block
  std::shared_ptr<JinjaScope> scope;      // where the macro was defined
};

// New lists and dicts; errors where they are nested too deeply.
JinjaValue make_sequence(JinjaContext& context, JinjaType type, JinjaItems items);
JinjaValue make_list(JinjaContext& context, JinjaItems items);
JinjaValue make_view(JinjaContext& context, const char* view, JinjaItems items);
// A later entry replaces the value of an earlier one with an equal key.
JinjaValue make_dict(JinjaContext& context, std::vector<std::pair<JinjaValue, JinjaValue>> entries);
JinjaValue make_function(JinjaCallable callable);

// Equal for keys that are equal in Python (1, 1.0 and true are one). Error: not hashable.
std::string dict_key(JinjaContext& context, const JinjaValue& key);

const char* type_name(const JinjaValue& value);  // Python's, for errors
bool is_true(const JinjaValue& value);
bool equals(JinjaContext& context, const JinjaValue& a, const JinjaValue& b);
// Below 0: a < b. Errors: types without an order.
bool is_less(JinjaContext& context, const JinjaValue& a, const JinjaValue& b);
// What `for` goes over; takes what is left of a generator. Error: not iterable.
std::shared_ptr<const JinjaSequence> iterate(JinjaContext& context, const JinjaValue& value);
bool is_iterable(const JinjaValue& value);

}  // namespace etrlrec
