#include "text/jinja_operators.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "text/jinja_format.h"
#include "text/jinja_methods.h"
#include "text/jinja_print.h"

namespace etrlrec {
namespace {

constexpr const char* kTooLarge = "an integer beyond 64 bits";

[[noreturn]] void refuse(JinjaContext& context, std::string_view op, const JinjaValue& a,
                         const JinjaValue& b) {
  for (const JinjaValue* value : {&a, &b})
    if (value->is_undefined()) context.fail("{} is undefined", value->undefined_name());
  context.fail("{} and {} cannot be combined by {}", type_name(a), type_name(b), op);
}

JinjaValue add(JinjaContext& context, const JinjaValue& a, const JinjaValue& b) {
  if (a.is_string() && b.is_string()) {
    JinjaText left = a.text(), right = b.text();
    context.charge_text(left.size() + right.size());
    if (left.is_markup != right.is_markup)
      (left.is_markup ? right : left) = escape_html(context, left.is_markup ? right : left);
    context.charge_text(left.size() + right.size());
    left.append(right);
    left.is_markup = left.is_markup || right.is_markup;
    return JinjaValue(std::move(left));
  }
  if (a.type() == b.type() && (a.is(JinjaType::kList) || a.is(JinjaType::kTuple))) {
    context.charge(a.sequence().items.size());
    JinjaItems items = a.sequence().items;
    items.insert(items.end(), b.sequence().items.begin(), b.sequence().items.end());
    return make_sequence(context, a.type(), std::move(items));
  }
  refuse(context, "+", a, b);
}

JinjaValue repeat(JinjaContext& context, const JinjaValue& what, int64_t times) {
  const auto count = static_cast<size_t>(std::max<int64_t>(times, 0));
  const size_t size = what.is_string() ? what.text().size() : what.sequence().items.size();
  if (size > 0 && count > context.limits.text_bytes / size)
    context.fail("{} repeated {} times is too much", type_name(what), times);
  if (what.is_string()) {
    context.charge_text(size * count);
    JinjaText out;
    for (size_t i = 0; size > 0 && i < count; ++i) out.append(what.text());
    return JinjaValue(std::move(out));
  }
  context.charge(size * count);
  JinjaItems items;
  for (size_t i = 0; size > 0 && i < count; ++i)
    items.insert(items.end(), what.sequence().items.begin(), what.sequence().items.end());
  return make_sequence(context, what.type(), std::move(items));
}

int64_t floor_divide(JinjaContext& context, int64_t a, int64_t b) {
  if (b == 0) context.fail("division by zero");
  if (b == -1 && a == std::numeric_limits<int64_t>::min()) context.fail(kTooLarge);
  const int64_t quotient = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

double float_modulo(double a, double b) {
  const double rest = std::fmod(a, b);
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

int64_t integer_power(JinjaContext& context, int64_t base, int64_t exponent) {
  int64_t out = 1;
  if (base == 0 || base == 1) return exponent == 0 ? 1 : base;
  if (base == -1) return exponent % 2 == 0 ? 1 : -1;
  for (int64_t i = 0; i < exponent; ++i)  // ends by overflow at the latest after 64 steps
    if (__builtin_mul_overflow(out, base, &out)) context.fail(kTooLarge);
  return out;
}

JinjaValue integer_operation(JinjaContext& context, std::string_view op, int64_t a, int64_t b) {
  int64_t out = 0;
  bool overflow = false;
  if (op == "+") overflow = __builtin_add_overflow(a, b, &out);
  if (op == "-") overflow = __builtin_sub_overflow(a, b, &out);
  if (op == "*") overflow = __builtin_mul_overflow(a, b, &out);
  if (overflow) context.fail(kTooLarge);
  if (op == "//") out = floor_divide(context, a, b);
  if (op == "%") {
    if (b == 0) context.fail("division by zero");
    const int64_t rest = b == -1 ? 0 : a % b;
    out = rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
  }
  if (op == "/") {
    if (b == 0) context.fail("division by zero");
    return JinjaValue(static_cast<double>(a) / static_cast<double>(b));
  }
  if (op == "**") {
    if (b < 0 && a == 0) context.fail("division by zero");
    if (b < 0) return JinjaValue(std::pow(static_cast<double>(a), static_cast<double>(b)));
    out = integer_power(context, a, b);
  }
  return JinjaValue(out);
}

JinjaValue float_operation(JinjaContext& context, std::string_view op, double a, double b) {
  if (op == "+") return JinjaValue(a + b);
  if (op == "-") return JinjaValue(a - b);
  if (op == "*") return JinjaValue(a * b);
  if (op == "**") {
    const double out = std::pow(a, b);
    if (a == 0 && b < 0) context.fail("division by zero");
    if (std::isnan(out) && !std::isnan(a) && !std::isnan(b)) context.fail("a complex number");
    if (std::isinf(out) && std::isfinite(a) && std::isfinite(b)) context.fail("a number too large");
    return JinjaValue(out);
  }
  if (b == 0) context.fail("division by zero");
  if (op == "/") return JinjaValue(a / b);
  const double rest = float_modulo(a, b);
  if (op == "%") return JinjaValue(rest == 0 ? std::copysign(0.0, b) : rest);
  const double quotient = std::floor((a - rest) / b);
  return JinjaValue((a - rest) / b - quotient > 0.5 ? quotient + 1 : quotient);
}

bool contains(JinjaContext& context, const JinjaValue& item, const JinjaValue& in) {
  if (in.is_string()) {
    if (!item.is_string())
      context.fail("expected a text in front of \"in\" and a text, found {}", type_name(item));
    context.charge(in.text().size() / 16);
    return in.bytes().find(item.bytes()) != std::string::npos;
  }
  if (in.is(JinjaType::kDict)) return in.dict().find(dict_key(context, item)) != nullptr;
  if (!is_iterable(in)) context.fail("{} has no items to look in", type_name(in));
  const auto items = iterate(context, in);
  return std::any_of(items->items.begin(), items->items.end(), [&](const JinjaValue& other) {
    return item.same_object(other) || equals(context, other, item);
  });
}

// Character `index`, from the end if below 0; undefined where there is none.
JinjaValue indexed_character(JinjaContext& context, const JinjaText& text, int64_t index) {
  context.charge(text.size() / 16);
  const std::string_view bytes = text.bytes();
  if (index < 0) index += static_cast<int64_t>(count_characters(bytes));
  if (index >= 0 && index < static_cast<int64_t>(bytes.size())) {
    const size_t begin = character_offset(bytes, static_cast<size_t>(index));
    if (begin < bytes.size())
      return JinjaValue(text.slice(begin, begin + character_length(bytes.substr(begin))));
  }
  return JinjaValue::undefined("the character of that index");
}

std::optional<int64_t> bound(JinjaContext& context, const JinjaValue& value) {
  if (value.is_undefined() || value.is(JinjaType::kNone)) return std::nullopt;
  if (!value.is_integral())
    context.fail("expected integers as bounds of a slice, found {}", type_name(value));
  return value.integer();
}

// Indices that Python's slice takes of `size` items.
std::vector<size_t> slice_indices(JinjaContext& context, int64_t size, std::optional<int64_t> from,
                                  std::optional<int64_t> to, int64_t step) {
  if (step == 0) context.fail("the step of a slice is 0");
  const int64_t low = step > 0 ? 0 : -1, high = step > 0 ? size : size - 1;
  const auto clip = [&](std::optional<int64_t> value, int64_t otherwise) {
    if (!value) return otherwise;
    const int64_t absolute = *value < 0 ? *value + size : *value;
    return std::clamp(absolute, low, std::max(low, high));
  };
  const int64_t begin = clip(from, step > 0 ? low : high), end = clip(to, step > 0 ? high : low);
  std::vector<size_t> out;
  step = std::clamp(step, -size - 1, size + 1);
  for (int64_t i = begin; step > 0 ? i < end : i > end; i += step)
    out.push_back(static_cast<size_t>(i));
  context.charge(out.size());
  return out;
}

}  // namespace

JinjaValue binary_operation(JinjaContext& context, std::string_view op, const JinjaValue& a,
                            const JinjaValue& b) {
  if (op == "~") {
    JinjaText out = print_value(context, a);
    const JinjaText right = print_value(context, b);
    context.charge_text(out.size() + right.size());
    out.append(right);
    out.is_markup = false;
    return JinjaValue(std::move(out));
  }
  if (a.is_integral() && b.is_integral())
    return integer_operation(context, op, a.integer(), b.integer());
  if (a.is_number() && b.is_number()) return float_operation(context, op, a.number(), b.number());
  if (op == "+") return add(context, a, b);
  const auto repeats = [](const JinjaValue& value) {
    return value.is_string() || value.is(JinjaType::kList) || value.is(JinjaType::kTuple);
  };
  if (op == "*" && repeats(a) && b.is_integral()) return repeat(context, a, b.integer());
  if (op == "*" && repeats(b) && a.is_integral()) return repeat(context, b, a.integer());
  if (op == "%" && a.is_string()) return format_percent(context, a.text(), b);
  refuse(context, op, a, b);
}

JinjaValue unary_operation(JinjaContext& context, std::string_view op, const JinjaValue& a) {
  if (op == "not") return JinjaValue(!is_true(a));
  if (a.is_undefined()) context.fail("{} is undefined", a.undefined_name());
  if (!a.is_number()) context.fail("{} has no sign", type_name(a));
  if (a.is(JinjaType::kFloat)) return JinjaValue(op == "-" ? -a.number() : a.number());
  return integer_operation(context, op, 0, a.integer());
}

bool compare(JinjaContext& context, std::string_view op, const JinjaValue& a, const JinjaValue& b) {
  if (op == "==") return equals(context, a, b);
  if (op == "!=") return !equals(context, a, b);
  if (op == "in") return contains(context, a, b);
  if (op == "not in") return !contains(context, a, b);
  for (const JinjaValue* value : {&a, &b})
    if (value->is_undefined()) context.fail("{} is undefined", value->undefined_name());
  const bool has_nan = (a.is(JinjaType::kFloat) && std::isnan(a.number())) ||
                       (b.is(JinjaType::kFloat) && std::isnan(b.number()));
  if (op == "<") return is_less(context, a, b);
  if (op == ">") return is_less(context, b, a);
  if (op == "<=") return !is_less(context, b, a) && !has_nan;
  return !is_less(context, a, b) && !has_nan;
}

JinjaValue get_attribute(JinjaContext& context, const JinjaValue& value, const std::string& name) {
  switch (value.type()) {
    case JinjaType::kUndefined:
      context.fail("{} is undefined, so it has no \"{}\"", value.undefined_name(), name);
    case JinjaType::kNamespace: {
      const auto& attributes = value.name_space().attributes;
      const auto found = attributes.find(name);
      if (found != attributes.end()) return found->second;
      break;
    }
    case JinjaType::kLoop:
      return loop_attribute(context, value, name);
    default:
      if (has_method(context, value, name)) return make_method(value, name);
      break;
  }
  if (value.is(JinjaType::kDict))
    if (const JinjaValue* found = value.dict().find_text(name)) return *found;
  return JinjaValue::undefined(fmt::format("\"{}\"", name));
}

JinjaValue get_item(JinjaContext& context, const JinjaValue& value, const JinjaValue& key) {
  if (value.is_undefined())
    context.fail("{} is undefined, so it has no items", value.undefined_name());
  if (value.is(JinjaType::kDict)) {
    const bool is_key =
        key.is_string() || key.is_number() || key.is(JinjaType::kNone) || key.is(JinjaType::kTuple);
    const JinjaValue* found = is_key ? value.dict().find(dict_key(context, key)) : nullptr;
    if (found != nullptr) return *found;
  } else if (key.is_integral() && value.is_string()) {
    return indexed_character(context, value.text(), key.integer());
  } else if (key.is_integral() && (value.is(JinjaType::kList) || value.is(JinjaType::kTuple) ||
                                   value.is(JinjaType::kRange))) {
    const JinjaItems& items = value.sequence().items;
    const auto size = static_cast<int64_t>(items.size());
    const int64_t at = key.integer() < 0 ? key.integer() + size : key.integer();
    if (at >= 0 && at < size) return items[static_cast<size_t>(at)];
    return JinjaValue::undefined(fmt::format("item {}", key.integer()));
  }
  if (key.is_string()) {
    if (value.is(JinjaType::kDict) && !has_method(context, value, key.bytes()))
      return JinjaValue::undefined(fmt::format("\"{}\"", key.bytes()));
    return get_attribute(context, value, key.bytes());
  }
  return JinjaValue::undefined("the item");
}

JinjaValue get_slice(JinjaContext& context, const JinjaValue& value, const JinjaValue& begin,
                     const JinjaValue& end, const JinjaValue& step) {
  if (value.is_undefined()) context.fail("{} is undefined", value.undefined_name());
  const auto from = bound(context, begin), to = bound(context, end), by = bound(context, step);
  if (value.is_string()) {
    const JinjaText& text = value.text();
    context.charge_text(text.size());
    if (by.value_or(1) == 1) {
      const auto all = static_cast<int64_t>(count_characters(text.bytes()));
      const auto place = [&](int64_t index) {
        const int64_t at = std::clamp<int64_t>(index < 0 ? index + all : index, 0, all);
        return character_offset(text.bytes(), static_cast<size_t>(at));
      };
      return JinjaValue(text.slice(place(from.value_or(0)), place(to.value_or(all))));
    }
    const auto characters = iterate(context, value);
    JinjaText out;
    for (size_t i : slice_indices(context, std::ssize(characters->items), from, to, by.value_or(1)))
      out.append(characters->items[i].text());
    return JinjaValue(std::move(out));
  }
  if (!value.is(JinjaType::kList) && !value.is(JinjaType::kTuple) && !value.is(JinjaType::kRange))
    context.fail("{} cannot be sliced", type_name(value));
  JinjaItems items;
  const JinjaItems& all = value.sequence().items;
  for (size_t i : slice_indices(context, std::ssize(all), from, to, by.value_or(1)))
    items.push_back(all[i]);
  return make_sequence(context, value.type(), std::move(items));
}

}  // namespace etrlrec
