#include "text/jinja_filters.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "text/jinja_case.h"
#include "text/jinja_format.h"
#include "text/jinja_methods.h"
#include "text/jinja_print.h"
#include "text/jinja_sequence_filters.h"

namespace etrlrec {
namespace {

using Context = JinjaContext;
using Value = JinjaValue;
using Arguments = JinjaArguments;

Value remake(const JinjaText& text, std::string bytes) {
  return Value(JinjaText(std::move(bytes), text.is_template()));
}

template <std::string (*kConvert)(std::string_view)>
Value filter_case(Context& context, const Value& value, const Arguments& given) {
  const JinjaParameters parameters(context, "a filter of case", {}, given);
  const JinjaText text = print_value(context, value);
  context.charge(text.size());
  return remake(text, kConvert(text.bytes()));
}

// Jinja's title: words begin behind white space, dashes and opening brackets.
std::string title_words(std::string_view text) {
  std::string out;
  bool begins = true;
  for (size_t i = 0; i < text.size();) {
    const std::string_view rest = text.substr(i);
    if (const size_t space = white_space_at(rest, false); space > 0) {
      begins = true;
      out += rest.substr(0, space);
      i += space;
      continue;
    }
    if (std::string_view("-({[<").find(rest[0]) != std::string_view::npos) {
      begins = true;
      out += rest[0];
      ++i;
      continue;
    }
    const size_t length = begins ? character_length(rest) : 0;
    if (begins) out += upper_case(rest.substr(0, length));
    begins = false;
    size_t end = i + length;
    while (end < text.size() && white_space_at(text.substr(end), false) == 0 &&
           std::string_view("-({[<").find(text[end]) == std::string_view::npos)
      ++end;
    out += lower_case(text.substr(i + length, end - i - length));
    i = end;
  }
  return out;
}

Value filter_trim(Context& context, const Value& value, const Arguments& given) {
  const JinjaParameters parameters(context, "trim", {"chars"}, given);
  const JinjaText text = print_value(context, value);
  if (parameters.value(0, Value::none()).is(JinjaType::kNone))
    return Value(strip_text(text, nullptr, true, true));
  const std::string set = parameters.text(0, "").bytes();
  context.charge(set.size());
  return Value(strip_text(text, &set, true, true));
}

Value filter_tojson(Context& context, const Value& value, const Arguments& given) {
  const JinjaParameters parameters(context, "tojson",
                                   {"ensure_ascii", "indent", "separators", "sort_keys"}, given);
  JsonStyle style;
  style.ensure_ascii = parameters.flag(0, false);
  style.sort_keys = parameters.flag(3, false);
  const Value indent = parameters.value(1, Value::none());
  if (!indent.is(JinjaType::kNone)) {
    style.indented = true;
    style.item_separator = ",";
    if (indent.is_string()) {
      style.indent = indent.bytes();
    } else {
      const int64_t width = parameters.integer(1, 0);
      if (width > 1000) context.fail("tojson: an indent of {} is not supported", width);
      style.indent = std::string(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
    }
  }
  const Value separators = parameters.value(2, Value::none());
  if (!separators.is(JinjaType::kNone)) {
    const auto pair = iterate(context, separators);
    if (pair->items.size() != 2 || !pair->items[0].is_string() || !pair->items[1].is_string())
      context.fail("tojson: separators: expected two texts");
    style.item_separator = pair->items[0].bytes();
    style.key_separator = pair->items[1].bytes();
  }
  return Value(print_json(context, value, style));
}

Value filter_string(Context& context, const Value& value, const Arguments& given) {
  const JinjaParameters parameters(context, "string", {}, given);
  return Value(print_value(context, value));
}

Value filter_safe(Context& context, const Value& value, const Arguments& given) {
  const JinjaParameters parameters(context, "safe", {}, given);
  JinjaText text = print_value(context, value);
  text.is_markup = true;
  return Value(std::move(text));
}

Value filter_escape(Context& context, const Value& value, const Arguments& given) {
  const JinjaParameters parameters(context, "escape", {}, given);
  const JinjaText text = print_value(context, value);
  return Value(text.is_markup ? text : escape_html(context, text));
}

// A number as Python's int() and float() read it; false where the text is none.
bool read_float(std::string_view text, double& out) {
  text = trim_left(trim_right(text));
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool between =
        i > 0 && i + 1 < text.size() && isdigit(text[i - 1]) && isdigit(text[i + 1]);
    if (text[i] != '_' || !between) plain += text[i];
  }
  if (plain.starts_with('+') && plain.size() > 1 && plain[1] != '-') plain.erase(0, 1);
  const auto [end, error] = std::from_chars(plain.data(), plain.data() + plain.size(), out);
  if (error == std::errc::result_out_of_range && end == plain.data() + plain.size()) {
    out = std::strtod(plain.c_str(), nullptr);
    return true;
  }
  return error == std::errc() && end == plain.data() + plain.size() &&
         plain.find('(') == plain.npos;
}

bool read_integer(Context& context, std::string_view text, int base, int64_t& out) {
  text = trim_left(trim_right(text));
  if (text.starts_with('+') && !text.substr(1).starts_with('-')) text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out, base);
  if (error == std::errc::result_out_of_range && end == text.data() + text.size())
    context.fail("int: the integer has more than 64 bits");
  return error == std::errc() && end == text.data() + text.size();
}

Value integer_of(Context& context, double number, const Value& otherwise) {
  if (!std::isfinite(number)) return otherwise;
  if (std::abs(number) >= 9.2e18) context.fail("int: the integer has more than 64 bits");
  return Value(static_cast<int64_t>(number));
}

Value filter_int(Context& context, const Value& value, const Arguments& given) {
  const JinjaParameters parameters(context, "int", {"default", "base"}, given);
  const Value otherwise = parameters.value(0, Value(int64_t{0}));
  const int64_t base = parameters.integer(1, 10);
  if (base < 2 || base > 36) context.fail("int: the base {} is not supported", base);
  if (value.is_undefined()) context.fail("{} is undefined", value.undefined_name());
  if (value.is_integral()) return Value(value.integer());
  if (value.is(JinjaType::kFloat)) return integer_of(context, value.number(), otherwise);
  if (!value.is_string()) return otherwise;
  if (base != 10 && value.bytes().find_first_of("xXoO_") != std::string::npos)
    context.fail("int: prefixes of other bases are not supported");
  int64_t whole = 0;
  double number = 0;
  std::string digits = value.bytes();
  if (read_integer(context, digits, static_cast<int>(base), whole)) return Value(whole);
  return read_float(digits, number) ? integer_of(context, number, otherwise) : otherwise;
}

Value filter_float(Context& context, const Value& value, const Arguments& given) {
  const JinjaParameters parameters(context, "float", {"default"}, given);
  if (value.is_undefined()) context.fail("{} is undefined", value.undefined_name());
  if (value.is_number()) return Value(value.number());
  double number = 0;
  if (value.is_string() && read_float(value.bytes(), number)) return Value(number);
  return parameters.value(0, Value(0.0));
}

Value filter_default(Context& context, const Value& value, const Arguments& given) {
  const JinjaParameters parameters(context, "default", {"default_value", "boolean"}, given);
  const bool replaces = value.is_undefined() || (parameters.flag(1, false) && !is_true(value));
  return replaces ? parameters.value(0, Value::text("", true)) : value;
}

Value filter_replace(Context& context, const Value& value, const Arguments& given) {
  const JinjaParameters parameters(context, "replace", {"old", "new", "count"}, given);
  const Value count = parameters.value(2, Value::none());
  return Value(replace_text(context, print_value(context, value),
                            print_value(context, parameters.required(0)),
                            print_value(context, parameters.required(1)),
                            count.is(JinjaType::kNone) ? -1 : parameters.integer(2, -1)));
}

Value filter_indent(Context& context, const Value& value, const Arguments& given) {
  const JinjaParameters parameters(context, "indent", {"width", "first", "blank"}, given);
  const bool first = parameters.flag(1, false), blank = parameters.flag(2, false);
  JinjaText indent;
  if (parameters.value(0, Value(int64_t{4})).is_string()) {
    indent = parameters.text(0, "");
  } else {
    const int64_t width = parameters.integer(0, 4);
    if (width > 1000) context.fail("indent: a width of {} is not supported", width);
    indent = JinjaText(std::string(static_cast<size_t>(std::max<int64_t>(width, 0)), ' '), true);
  }
  if (!value.is_string() && !value.is_undefined())
    context.fail("indent: expected a text, found {}", type_name(value));
  JinjaText text = print_value(context, value), out;
  text.append("\n", true);
  const std::vector<JinjaText> lines = split_lines(text, false);
  for (size_t i = 0; i < lines.size(); ++i) {
    context.charge(1 + indent.size() / 16);
    context.check_text(out.size() + indent.size() + lines[i].size());
    if (i > 0) out.append("\n", true);
    if (i == 0 ? first : blank || !lines[i].empty()) out.append(indent);
    out.append(lines[i]);
  }
  return Value(std::move(out));
}

Value filter_abs(Context& context, const Value& value, const Arguments& given) {
  const JinjaParameters parameters(context, "abs", {}, given);
  if (!value.is_number()) context.fail("abs: expected a number, found {}", type_name(value));
  if (value.is(JinjaType::kFloat)) return Value(std::abs(value.number()));
  if (value.integer() == std::numeric_limits<int64_t>::min())
    context.fail("abs: the integer has more than 64 bits");
  return Value(std::abs(value.integer()));
}

Value filter_round(Context& context, const Value& value, const Arguments& given) {
  const JinjaParameters parameters(context, "round", {"precision", "method"}, given);
  const int64_t precision = parameters.integer(0, 0);
  const std::string method = parameters.text(1, "common").bytes();
  if (!value.is_number()) context.fail("round: expected a number, found {}", type_name(value));
  if (precision < -15 || precision > 15)
    context.fail("round: a precision of {} is not supported", precision);
  if (method != "common" && method != "floor" && method != "ceil")
    context.fail("round: method: expected common, floor or ceil, found {}", method);
  const double number = value.number();
  if (method == "common") {
    if (value.is_integral() && precision >= 0) return Value(value.integer());
    if (value.is_integral()) context.fail("round: a negative precision is not supported");
    if (!std::isfinite(number)) return value;
    // As Python does: the decimal digits of the number itself, halves to even.
    if (precision >= 0) {
      double out = 0;
      read_float(fmt::format("{:.{}f}", number, precision), out);
      return Value(out);
    }
  }
  const double scale = std::pow(10.0, static_cast<double>(precision));
  if (!std::isfinite(number * scale)) context.fail("round: the number is out of range");
  if (method == "common") return Value(std::nearbyint(number * scale) / scale);
  return Value((method == "floor" ? std::floor(number * scale) : std::ceil(number * scale)) /
               scale);
}

Value filter_format(Context& context, const Value& value, const Arguments& given) {
  if (!given.named.empty() && !given.positional.empty())
    context.fail("format: expected arguments either with or without names");
  std::vector<std::pair<Value, Value>> named;
  for (const auto& [name, each] : given.named) named.emplace_back(Value::text(name, true), each);
  const Value values = given.named.empty()
                           ? make_sequence(context, JinjaType::kTuple, given.positional)
                           : make_dict(context, std::move(named));
  return format_percent(context, print_value(context, value), values);
}

Value filter_wordcount(Context& context, const Value& value, const Arguments& given) {
  const JinjaParameters parameters(context, "wordcount", {}, given);
  const JinjaText text = print_value(context, value);
  context.charge(text.size());
  const std::string_view bytes = text.bytes();
  int64_t words = 0;
  bool inside = false;
  for (size_t i = 0; i < bytes.size(); i += character_length(bytes.substr(i))) {
    const bool is_word = is_word_character(code_point_at(bytes.substr(i)));
    words += is_word && !inside;
    inside = is_word;
  }
  return Value(words);
}

Value filter_map(Context& context, const Value& value, const Arguments& given) {
  if (!is_true(value)) return make_generator(context, {});  // none, too
  JinjaItems items = iterate(context, value)->items;
  if (given.positional.empty()) {
    const JinjaParameters parameters(context, "map", {"attribute", "default"}, given);
    const Value& path = parameters.required(0);
    for (Value& item : items) {
      item = value_at(context, item, path);
      if (item.is_undefined() && parameters.has(1)) item = parameters.required(1);
    }
  } else {
    if (!given.positional[0].is_string()) context.fail("map: expected the name of a filter");
    const std::string name = given.positional[0].bytes();
    if (name == "map") context.fail("map: the filter map inside of itself is not supported");
    const Arguments rest{{given.positional.begin() + 1, given.positional.end()}, given.named};
    for (Value& item : items) item = run_filter(context, name, item, rest);
  }
  return make_generator(context, std::move(items));
}

constexpr std::pair<std::string_view, JinjaFilter> kFilters[] = {
    {"trim", filter_trim},
    {"tojson", filter_tojson},
    {"string", filter_string},
    {"safe", filter_safe},
    {"escape", filter_escape},
    {"e", filter_escape},
    {"int", filter_int},
    {"float", filter_float},
    {"default", filter_default},
    {"d", filter_default},
    {"replace", filter_replace},
    {"lower", filter_case<lower_case>},
    {"upper", filter_case<upper_case>},
    {"title", filter_case<title_words>},
    {"capitalize", filter_case<capitalize_case>},
    {"indent", filter_indent},
    {"abs", filter_abs},
    {"round", filter_round},
    {"format", filter_format},
    {"wordcount", filter_wordcount},
    {"map", filter_map},
};

}  // namespace

JinjaValue run_filter(Context& context, const std::string& name, const Value& value,
                      const Arguments& arguments) {
  context.charge();
  JinjaFilter filter = find_sequence_filter(name);
  for (const auto& [each, call] : kFilters)
    if (each == name) filter = call;
  if (filter == nullptr) context.fail("the filter \"{}\" is not supported", name);
  return filter(context, value, arguments);
}

}  // namespace etrlrec
