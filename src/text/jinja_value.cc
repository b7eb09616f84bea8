#include "text/jinja_value.h"

#include <algorithm>
#include <cmath>

#include "base/json.h"

namespace etrlrec {
namespace {

JinjaValue sequence_from_json(const OrderedJson& json, bool from_template) {
  auto list = std::make_shared<JinjaSequence>();
  for (const OrderedJson& entry : json) {
    list->items.push_back(JinjaValue::from_json(entry, from_template));
    list->depth = std::max(list->depth, list->items.back().depth() + 1);
  }
  return {JinjaType::kList, std::move(list)};
}

JinjaValue dict_from_json(const OrderedJson& json, bool from_template) {
  auto dict = std::make_shared<JinjaDict>();
  for (const auto& [key, entry] : json.items()) {
    if (!dict->places.emplace("s" + key, dict->entries.size()).second) continue;
    dict->entries.emplace_back(JinjaValue::text(key, from_template),
                               JinjaValue::from_json(entry, from_template));
    dict->depth = std::max(dict->depth, dict->entries.back().second.depth() + 1);
  }
  return JinjaValue(std::shared_ptr<const JinjaDict>(std::move(dict)));
}

bool equal_items(JinjaContext& context, const JinjaItems& a, const JinjaItems& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i)
    if (!equals(context, a[i], b[i])) return false;
  return true;
}

bool equal_dicts(JinjaContext& context, const JinjaDict& a, const JinjaDict& b) {
  if (a.entries.size() != b.entries.size()) return false;
  for (const auto& [key, place] : a.places) {
    const JinjaValue* other = b.find(key);
    if (other == nullptr || !equals(context, a.entries[place].second, *other)) return false;
  }
  return true;
}

// Views of keys and items are sets: equal without regard to the order. Views of values are not.
bool equal_views(JinjaContext& context, const JinjaSequence& a, const JinjaSequence& b) {
  if (&a == &b) return true;
  if (a.view == "dict_values" || a.view != b.view || a.items.size() != b.items.size()) return false;
  return std::all_of(a.items.begin(), a.items.end(), [&](const JinjaValue& item) {
    return std::any_of(b.items.begin(), b.items.end(),
                       [&](const JinjaValue& other) { return equals(context, item, other); });
  });
}

bool equal_numbers(const JinjaValue& a, const JinjaValue& b) {
  if (a.is_integral() && b.is_integral()) return a.integer() == b.integer();
  return a.number() == b.number();
}

std::string number_key(const JinjaValue& key) {
  if (key.is_integral()) return fmt::format("i{}", key.integer());
  const double number = key.number();
  if (std::trunc(number) == number && std::abs(number) < 9e15)
    return fmt::format("i{}", static_cast<int64_t>(number));
  return fmt::format("f{}", number);
}

}  // namespace

JinjaValue::JinjaValue(JinjaText text)
    : type_(JinjaType::kString), value_(std::make_shared<const JinjaText>(std::move(text))) {}

JinjaValue JinjaValue::undefined(std::string what) {
  JinjaValue value;
  value.value_ = std::make_shared<const JinjaText>(std::move(what), false);
  return value;
}

JinjaValue JinjaValue::none() {
  JinjaValue value;
  value.type_ = JinjaType::kNone;
  return value;
}

JinjaValue JinjaValue::text(std::string bytes, bool from_template) {
  return JinjaValue(JinjaText(std::move(bytes), from_template));
}

JinjaValue JinjaValue::from_json(const OrderedJson& json, bool from_template) {
  switch (json.type()) {
    case OrderedJson::value_t::boolean:
      return JinjaValue(json.get<bool>());
    case OrderedJson::value_t::number_integer:
      return JinjaValue(json.get<int64_t>());
    case OrderedJson::value_t::number_unsigned:
      if (std::in_range<int64_t>(json.get<uint64_t>())) return JinjaValue(json.get<int64_t>());
      return JinjaValue(json.get<double>());
    case OrderedJson::value_t::number_float:
      return JinjaValue(json.get<double>());
    case OrderedJson::value_t::string:
      return text(json.get<std::string>(), from_template);
    case OrderedJson::value_t::array:
      return sequence_from_json(json, from_template);
    case OrderedJson::value_t::object:
      return dict_from_json(json, from_template);
    default:
      return none();
  }
}

int64_t JinjaValue::integer() const {
  return is(JinjaType::kBoolean) ? std::get<bool>(value_) : std::get<int64_t>(value_);
}

double JinjaValue::number() const {
  return is(JinjaType::kFloat) ? std::get<double>(value_) : static_cast<double>(integer());
}

std::string JinjaValue::undefined_name() const {
  const auto* name = std::get_if<std::shared_ptr<const JinjaText>>(&value_);
  return name == nullptr ? "value" : (*name)->bytes();
}

int JinjaValue::depth() const {
  if (const auto* items = std::get_if<std::shared_ptr<const JinjaSequence>>(&value_))
    return (*items)->depth;
  if (const auto* dict = std::get_if<std::shared_ptr<const JinjaDict>>(&value_))
    return (*dict)->depth;
  if (const auto* loop = std::get_if<std::shared_ptr<JinjaLoop>>(&value_))
    return (*loop)->items->depth + 1;
  if (const auto* callable = std::get_if<std::shared_ptr<const JinjaCallable>>(&value_))
    return (*callable)->self.depth() + 1;
  return 0;
}

bool JinjaValue::same_object(const JinjaValue& other) const { return value_ == other.value_; }

const JinjaValue* JinjaDict::find(const std::string& dict_key) const {
  const auto place = places.find(dict_key);
  return place == places.end() ? nullptr : &entries[place->second].second;
}

const JinjaValue* JinjaDict::find_text(std::string_view key) const {
  return find("s" + std::string(key));
}

JinjaValue make_sequence(JinjaContext& context, JinjaType type, JinjaItems items) {
  context.charge(items.size());
  auto sequence = std::make_shared<JinjaSequence>();
  for (const JinjaValue& item : items)
    sequence->depth = std::max(sequence->depth, item.depth() + 1);
  if (sequence->depth > context.limits.value_depth)
    context.fail("lists and dicts are nested more than {} deep", context.limits.value_depth);
  sequence->items = std::move(items);
  return {type, std::move(sequence)};
}

JinjaValue make_list(JinjaContext& context, JinjaItems items) {
  return make_sequence(context, JinjaType::kList, std::move(items));
}

JinjaValue make_view(JinjaContext& context, const char* view, JinjaItems items) {
  const JinjaValue list = make_list(context, std::move(items));
  auto sequence = std::make_shared<JinjaSequence>(list.sequence());
  sequence->view = view;
  return {JinjaType::kDictView, std::move(sequence)};
}

JinjaValue make_dict(JinjaContext& context,
                     std::vector<std::pair<JinjaValue, JinjaValue>> entries) {
  context.charge(entries.size());
  auto dict = std::make_shared<JinjaDict>();
  for (auto& [key, value] : entries) {
    dict->depth = std::max({dict->depth, key.depth() + 1, value.depth() + 1});
    const auto [place, is_new] = dict->places.emplace(dict_key(context, key), dict->entries.size());
    if (is_new)
      dict->entries.emplace_back(std::move(key), std::move(value));
    else
      dict->entries[place->second].second = std::move(value);
  }
  if (dict->depth > context.limits.value_depth)
    context.fail("lists and dicts are nested more than {} deep", context.limits.value_depth);
  return JinjaValue(std::shared_ptr<const JinjaDict>(std::move(dict)));
}

JinjaValue make_function(JinjaCallable callable) {
  return JinjaValue(std::make_shared<const JinjaCallable>(std::move(callable)));
}

std::string dict_key(JinjaContext& context, const JinjaValue& key) {
  context.charge();
  switch (key.type()) {
    case JinjaType::kUndefined:
      return "u";
    case JinjaType::kNone:
      return "n";
    case JinjaType::kBoolean:
    case JinjaType::kInteger:
    case JinjaType::kFloat:
      return number_key(key);
    case JinjaType::kString:
      context.charge_text(key.bytes().size());
      return "s" + key.bytes();
    case JinjaType::kTuple: {
      std::string out = "t";
      for (const JinjaValue& item : key.sequence().items) {
        const std::string part = dict_key(context, item);
        context.check_text(out.size() + part.size());
        context.charge(part.size() / 16);
        out += fmt::format("{}:{}", part.size(), part);
      }
      return out;
    }
    default:
      context.fail("a key of a dict cannot be of type {}", type_name(key));
  }
}

const char* type_name(const JinjaValue& value) {
  static constexpr const char* kNames[] = {"Undefined", "None", "bool",      "int",   "float",
                                           "str",       "list", "tuple",     "range", "dict view",
                                           "generator", "dict", "namespace", "loop",  "function"};
  return kNames[static_cast<size_t>(value.type())];
}

bool is_true(const JinjaValue& value) {
  switch (value.type()) {
    case JinjaType::kUndefined:
    case JinjaType::kNone:
      return false;
    case JinjaType::kBoolean:
    case JinjaType::kInteger:
      return value.integer() != 0;
    case JinjaType::kFloat:
      return value.number() != 0;
    case JinjaType::kString:
      return !value.text().empty();
    case JinjaType::kList:
    case JinjaType::kTuple:
    case JinjaType::kRange:
    case JinjaType::kDictView:
      return !value.sequence().items.empty();
    case JinjaType::kDict:
      return !value.dict().entries.empty();
    default:
      return true;
  }
}

bool equals(JinjaContext& context, const JinjaValue& a, const JinjaValue& b) {
  context.charge();
  if (a.is_number() && b.is_number()) return equal_numbers(a, b);
  if (a.type() != b.type()) return false;
  switch (a.type()) {
    case JinjaType::kUndefined:
    case JinjaType::kNone:
      return true;
    case JinjaType::kString:
      context.charge(std::min(a.text().size(), b.text().size()) / 64);
      return a.bytes() == b.bytes();
    case JinjaType::kList:
    case JinjaType::kTuple:
    case JinjaType::kRange:
      return equal_items(context, a.sequence().items, b.sequence().items);
    case JinjaType::kDictView:
      return equal_views(context, a.sequence(), b.sequence());
    case JinjaType::kDict:
      return equal_dicts(context, a.dict(), b.dict());
    default:
      return a.same_object(b);
  }
}

bool is_less(JinjaContext& context, const JinjaValue& a, const JinjaValue& b) {
  context.charge();
  if (a.is_integral() && b.is_integral()) return a.integer() < b.integer();
  if (a.is_number() && b.is_number()) return a.number() < b.number();
  if (a.is_string() && b.is_string()) {
    context.charge(std::min(a.text().size(), b.text().size()) / 64);
    return a.bytes() < b.bytes();
  }
  const bool lists = a.is(JinjaType::kList) || a.is(JinjaType::kTuple);
  if (!lists || a.type() != b.type())
    context.fail("{} and {} have no order", type_name(a), type_name(b));
  const JinjaItems &left = a.sequence().items, &right = b.sequence().items;
  for (size_t i = 0; i < std::min(left.size(), right.size()); ++i)
    if (!equals(context, left[i], right[i])) return is_less(context, left[i], right[i]);
  return left.size() < right.size();
}

bool is_iterable(const JinjaValue& value) {
  return value.is_undefined() || value.is_string() ||
         (value.type() >= JinjaType::kList && value.type() <= JinjaType::kDict) ||
         value.is(JinjaType::kLoop);
}

std::shared_ptr<const JinjaSequence> iterate(JinjaContext& context, const JinjaValue& value) {
  if (value.is_sized_sequence()) return value.sequence_pointer();
  JinjaItems items;
  if (value.is_string()) {
    const JinjaText& text = value.text();
    context.charge(text.size());
    const std::string_view bytes = text.bytes();
    for (size_t at = 0, length = 0; at < bytes.size(); at += length) {
      length = character_length(bytes.substr(at));
      items.emplace_back(text.slice(at, at + length));
    }
  } else if (value.is(JinjaType::kDict)) {
    for (const auto& entry : value.dict().entries) items.push_back(entry.first);
  } else if (value.is(JinjaType::kGenerator)) {
    const JinjaSequence& left = value.sequence();
    items.assign(left.items.begin() + static_cast<std::ptrdiff_t>(left.taken), left.items.end());
    left.taken = left.items.size();
  } else if (!value.is_undefined()) {
    context.fail("{} is not iterable", value.is(JinjaType::kNone) ? "none" : type_name(value));
  }
  return make_list(context, std::move(items)).sequence_pointer();
}

}  // namespace etrlrec
