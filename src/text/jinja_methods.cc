#include "text/jinja_methods.h"

#include <algorithm>

#include "text/jinja_case.h"
#include "text/jinja_format.h"
#include "text/jinja_print.h"

namespace etrlrec {
namespace {

using Method = JinjaValue (*)(JinjaContext&, const JinjaValue& self, const JinjaArguments&);

struct MethodRow {
  std::string_view name;
  Method call;
};

// A text made of another one by changing letters.
JinjaValue remade(const JinjaText& text, std::string bytes) {
  return JinjaValue(JinjaText(std::move(bytes), text.is_template()));
}

template <std::string (*kConvert)(std::string_view)>
JinjaValue convert(JinjaContext& context, const JinjaValue& self, const JinjaArguments& given) {
  const JinjaParameters parameters(context, "a method of str", {}, given);
  context.charge(self.text().size());
  return remade(self.text(), kConvert(self.bytes()));
}

template <bool (*kHolds)(std::string_view)>
JinjaValue judge(JinjaContext& context, const JinjaValue& self, const JinjaArguments& given) {
  const JinjaParameters parameters(context, "a method of str", {}, given);
  return JinjaValue(kHolds(self.bytes()));
}

bool only_digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == text.npos;
}
bool only_space(std::string_view text) { return !text.empty() && trim_left(text).empty(); }

template <bool kLeft, bool kRight>
JinjaValue strip(JinjaContext& context, const JinjaValue& self, const JinjaArguments& given) {
  const JinjaParameters parameters(context, "strip", {"chars"}, given);
  const JinjaValue chars = parameters.value(0, JinjaValue::none());
  context.charge_text(self.text().size());
  if (chars.is(JinjaType::kNone))
    return JinjaValue(strip_text(self.text(), nullptr, kLeft, kRight));
  const std::string set = parameters.text(0, "").bytes();
  context.charge(set.size());
  return JinjaValue(strip_text(self.text(), &set, kLeft, kRight));
}

// Texts between white space; the last one keeps what is behind `most` splits.
void split_words(const JinjaText& text, int64_t most, bool from_right, JinjaItems& out) {
  const std::string_view bytes = text.bytes();
  size_t begin = 0, end = bytes.size();
  const auto cut = [&](std::string_view part) {
    return text.slice(static_cast<size_t>(part.data() - bytes.data()),
                      static_cast<size_t>(part.data() - bytes.data()) + part.size());
  };
  for (;;) {
    std::string_view rest = bytes.substr(begin, end - begin);
    rest = from_right ? trim_right(rest) : trim_left(rest);
    if (rest.empty()) break;
    if (most-- == 0) {
      out.emplace_back(cut(rest));
      break;
    }
    size_t size = 0;
    while (size < rest.size()) {
      if (from_right && white_space_at(rest.substr(0, rest.size() - size), true) > 0) break;
      if (!from_right && white_space_at(rest.substr(size), false) > 0) break;
      ++size;
    }
    const std::string_view word =
        from_right ? rest.substr(rest.size() - size) : rest.substr(0, size);
    out.emplace_back(cut(word));
    const auto place = static_cast<size_t>(word.data() - bytes.data());
    (from_right ? end : begin) = from_right ? place : place + size;
  }
}

void split_by(const JinjaText& text, const std::string& separator, int64_t most, bool from_right,
              JinjaItems& out) {
  const std::string_view bytes = text.bytes();
  size_t begin = 0, end = bytes.size();
  for (; most != 0; --most) {
    const std::string_view rest = bytes.substr(begin, end - begin);
    const size_t found = from_right ? rest.rfind(separator) : rest.find(separator);
    if (found == rest.npos) break;
    const size_t at = begin + found;
    out.emplace_back(from_right ? text.slice(at + separator.size(), end) : text.slice(begin, at));
    (from_right ? end : begin) = from_right ? at : at + separator.size();
  }
  out.emplace_back(text.slice(begin, end));
}

template <bool kFromRight>
JinjaValue split(JinjaContext& context, const JinjaValue& self, const JinjaArguments& given) {
  const JinjaParameters parameters(context, "split", {"sep", "maxsplit"}, given);
  const JinjaValue separator = parameters.value(0, JinjaValue::none());
  const int64_t most = parameters.integer(1, -1);
  context.charge_text(self.text().size());
  JinjaItems out;
  if (separator.is(JinjaType::kNone)) {
    split_words(self.text(), most, kFromRight, out);
  } else {
    const std::string by = parameters.text(0, "").bytes();
    if (by.empty()) context.fail("split: the separator is empty");
    split_by(self.text(), by, most, kFromRight, out);
  }
  if (kFromRight) std::reverse(out.begin(), out.end());
  return make_list(context, std::move(out));
}

JinjaValue splitlines(JinjaContext& context, const JinjaValue& self, const JinjaArguments& given) {
  const JinjaParameters parameters(context, "splitlines", {"keepends"}, given);
  context.charge_text(self.text().size());
  JinjaItems out;
  for (JinjaText& line : split_lines(self.text(), parameters.flag(0, false)))
    out.emplace_back(std::move(line));
  return make_list(context, std::move(out));
}

template <bool kAtEnd>
JinjaValue starts_or_ends(JinjaContext& context, const JinjaValue& self,
                          const JinjaArguments& given) {
  const JinjaParameters parameters(context, kAtEnd ? "endswith" : "startswith", {"prefix"}, given);
  const JinjaValue& part = parameters.required(0);
  const JinjaItems parts = part.is(JinjaType::kTuple) ? part.sequence().items : JinjaItems{part};
  context.charge(parts.size());
  bool found = false;
  for (const JinjaValue& each : parts) {
    if (!each.is_string())
      context.fail("{}: expected a text or a tuple of texts, found {}",
                   kAtEnd ? "endswith" : "startswith", type_name(each));
    found = found || (kAtEnd ? self.bytes().ends_with(each.bytes())
                             : self.bytes().starts_with(each.bytes()));
  }
  return JinjaValue(found);
}

JinjaValue replace(JinjaContext& context, const JinjaValue& self, const JinjaArguments& given) {
  const JinjaParameters parameters(context, "replace", {"old", "new", "count"}, given);
  parameters.required(0);
  parameters.required(1);
  return JinjaValue(replace_text(context, self.text(), parameters.text(0, ""),
                                 parameters.text(1, ""), parameters.integer(2, -1)));
}

template <bool kFromRight, bool kMustBe>
JinjaValue find(JinjaContext& context, const JinjaValue& self, const JinjaArguments& given) {
  const JinjaParameters parameters(context, "find", {"sub"}, given);
  parameters.required(0);
  const std::string part = parameters.text(0, "").bytes();
  context.charge_text(self.text().size());
  const size_t at = kFromRight ? self.bytes().rfind(part) : self.bytes().find(part);
  if (kMustBe && at == std::string::npos) context.fail("index: the text is not there");
  if (at == std::string::npos) return JinjaValue(int64_t{-1});
  return JinjaValue(
      static_cast<int64_t>(count_characters(std::string_view(self.bytes()).substr(0, at))));
}

JinjaValue count_text(JinjaContext& context, const JinjaValue& self, const JinjaArguments& given) {
  const JinjaParameters parameters(context, "count", {"sub"}, given);
  parameters.required(0);
  const std::string part = parameters.text(0, "").bytes();
  context.charge_text(self.text().size());
  if (part.empty()) return JinjaValue(static_cast<int64_t>(count_characters(self.bytes())) + 1);
  int64_t count = 0;
  for (size_t at = 0; (at = self.bytes().find(part, at)) != std::string::npos; at += part.size())
    ++count;
  return JinjaValue(count);
}

JinjaValue join(JinjaContext& context, const JinjaValue& self, const JinjaArguments& given) {
  const JinjaParameters parameters(context, "join", {"iterable"}, given);
  const auto items = iterate(context, parameters.required(0));
  for (const JinjaValue& item : items->items)
    if (!item.is_string()) context.fail("join: expected texts, found {}", type_name(item));
  return JinjaValue(join_texts(context, self.text(), items->items));
}

JinjaValue format(JinjaContext& context, const JinjaValue& self, const JinjaArguments& given) {
  return format_braces(context, self.text(), given);
}

template <bool kPrefix>
JinjaValue remove_affix(JinjaContext& context, const JinjaValue& self,
                        const JinjaArguments& given) {
  const JinjaParameters parameters(context, "removeprefix", {"part"}, given);
  parameters.required(0);
  const std::string part = parameters.text(0, "").bytes();
  const JinjaText& text = self.text();
  const bool is_there = kPrefix ? text.bytes().starts_with(part) : text.bytes().ends_with(part);
  if (!is_there) return JinjaValue(text);
  return JinjaValue(kPrefix ? text.slice(part.size(), text.size())
                            : text.slice(0, text.size() - part.size()));
}

constexpr MethodRow kTextMethods[] = {
    {"strip", strip<true, true>},
    {"lstrip", strip<true, false>},
    {"rstrip", strip<false, true>},
    {"split", split<false>},
    {"rsplit", split<true>},
    {"splitlines", splitlines},
    {"startswith", starts_or_ends<false>},
    {"endswith", starts_or_ends<true>},
    {"replace", replace},
    {"lower", convert<lower_case>},
    {"upper", convert<upper_case>},
    {"title", convert<title_case>},
    {"capitalize", convert<capitalize_case>},
    {"find", find<false, false>},
    {"rfind", find<true, false>},
    {"index", find<false, true>},
    {"count", count_text},
    {"join", join},
    {"format", format},
    {"removeprefix", remove_affix<true>},
    {"removesuffix", remove_affix<false>},
    {"isdigit", judge<only_digits>},
    {"isspace", judge<only_space>},
    {"isupper", judge<is_upper_case>},
    {"islower", judge<is_lower_case>},
};

JinjaValue dict_items(JinjaContext& context, const JinjaValue& self, const JinjaArguments& given) {
  const JinjaParameters parameters(context, "items", {}, given);
  JinjaItems items;
  for (const auto& [key, value] : self.dict().entries)
    items.push_back(make_sequence(context, JinjaType::kTuple, {key, value}));
  return make_view(context, "dict_items", std::move(items));
}

JinjaValue dict_keys(JinjaContext& context, const JinjaValue& self, const JinjaArguments& given) {
  const JinjaParameters parameters(context, "keys", {}, given);
  JinjaItems items;
  for (const auto& entry : self.dict().entries) items.push_back(entry.first);
  return make_view(context, "dict_keys", std::move(items));
}

JinjaValue dict_values(JinjaContext& context, const JinjaValue& self, const JinjaArguments& given) {
  const JinjaParameters parameters(context, "values", {}, given);
  JinjaItems items;
  for (const auto& entry : self.dict().entries) items.push_back(entry.second);
  return make_view(context, "dict_values", std::move(items));
}

JinjaValue dict_get(JinjaContext& context, const JinjaValue& self, const JinjaArguments& given) {
  const JinjaParameters parameters(context, "get", {"key", "default"}, given);
  const JinjaValue* found = self.dict().find(dict_key(context, parameters.required(0)));
  return found != nullptr ? *found : parameters.value(1, JinjaValue::none());
}

JinjaValue same(JinjaContext& context, const JinjaValue& self, const JinjaArguments& given) {
  const JinjaParameters parameters(context, "copy", {}, given);
  return self;
}

constexpr MethodRow kDictMethods[] = {{"items", dict_items},
                                      {"keys", dict_keys},
                                      {"values", dict_values},
                                      {"get", dict_get},
                                      {"copy", same}};

JinjaValue list_index(JinjaContext& context, const JinjaValue& self, const JinjaArguments& given) {
  const JinjaParameters parameters(context, "index", {"value"}, given);
  const JinjaItems& items = self.sequence().items;
  for (size_t i = 0; i < items.size(); ++i)
    if (equals(context, items[i], parameters.required(0)))
      return JinjaValue(static_cast<int64_t>(i));
  context.fail("index: the value is not in the list");
}

JinjaValue list_count(JinjaContext& context, const JinjaValue& self, const JinjaArguments& given) {
  const JinjaParameters parameters(context, "count", {"value"}, given);
  int64_t count = 0;
  for (const JinjaValue& item : self.sequence().items)
    count += equals(context, item, parameters.required(0));
  return JinjaValue(count);
}

constexpr MethodRow kListMethods[] = {{"index", list_index}, {"count", list_count}, {"copy", same}};

Method find_method(const JinjaValue& value, std::string_view name) {
  const auto in = [&](const auto& table) -> Method {
    for (const MethodRow& row : table)
      if (row.name == name) return row.call;
    return nullptr;
  };
  if (value.is_string()) return in(kTextMethods);
  if (value.is(JinjaType::kDict)) return in(kDictMethods);
  if (value.is(JinjaType::kList)) return in(kListMethods);
  if (value.is(JinjaType::kTuple) && name != "copy") return in(kListMethods);
  return nullptr;
}

// What Python has and a template could ask for.
bool is_left_out(const JinjaValue& value, std::string_view name) {
  static constexpr std::string_view kText[] = {
      "casefold",   "center",   "encode",    "expandtabs",   "format_map", "isalnum",
      "isalpha",    "isascii",  "isdecimal", "isidentifier", "isnumeric",  "isprintable",
      "istitle",    "ljust",    "maketrans", "partition",    "rindex",     "rjust",
      "rpartition", "swapcase", "translate", "zfill"};
  static constexpr std::string_view kNumber[] = {
      "as_integer_ratio", "bit_count", "bit_length", "conjugate", "denominator",
      "from_bytes",       "fromhex",   "hex",        "imag",      "is_integer",
      "numerator",        "real",      "to_bytes"};
  const auto in = [&](const auto& table) {
    return std::find(std::begin(table), std::end(table), name) != std::end(table);
  };
  if (value.is_string()) return in(kText);
  if (value.is_number()) return in(kNumber);
  if (value.is(JinjaType::kDict)) return name == "fromkeys";
  if (value.is(JinjaType::kRange)) return name == "start" || name == "stop" || name == "step";
  return false;
}

JinjaValue loop_cycle(JinjaContext& context, const JinjaLoop& loop, const JinjaArguments& given) {
  if (given.positional.empty() || !given.named.empty())
    context.fail("loop.cycle: expected arguments without names");
  return given.positional[loop.index % given.positional.size()];
}

}  // namespace

bool has_method(JinjaContext& context, const JinjaValue& value, const std::string& name) {
  if (find_method(value, name) != nullptr) return true;
  if (is_left_out(value, name))
    context.fail("the attribute {}.{} is not supported", type_name(value), name);
  return false;
}

JinjaValue make_method(const JinjaValue& self, const std::string& name) {
  return make_function({JinjaCallable::Kind::kMethod, name, self, nullptr, nullptr});
}

JinjaValue call_method(JinjaContext& context, const JinjaCallable& method,
                       const JinjaArguments& arguments) {
  if (method.self.is(JinjaType::kLoop)) return loop_cycle(context, method.self.loop(), arguments);
  return find_method(method.self, method.name)(context, method.self, arguments);
}

JinjaValue loop_attribute(JinjaContext& context, const JinjaValue& value, const std::string& name) {
  const JinjaLoop& loop = value.loop();
  const JinjaItems& items = loop.items->items;
  const auto index = static_cast<int64_t>(loop.index), length = std::ssize(items);
  if (name == "index") return JinjaValue(index + 1);
  if (name == "index0") return JinjaValue(index);
  if (name == "revindex") return JinjaValue(length - index);
  if (name == "revindex0") return JinjaValue(length - index - 1);
  if (name == "first") return JinjaValue(index == 0);
  if (name == "last") return JinjaValue(index + 1 == length);
  if (name == "length") return JinjaValue(length);
  if (name == "depth") return JinjaValue(int64_t{1});  // of recursive loops only it is more
  if (name == "depth0") return JinjaValue(int64_t{0});
  if (name == "previtem" && index > 0) return items[loop.index - 1];
  if (name == "nextitem" && index + 1 < length) return items[loop.index + 1];
  if (name == "cycle") return make_method(value, name);
  if (name == "changed") context.fail("loop.changed is not supported");
  return JinjaValue::undefined(fmt::format("loop.{}", name));
}

JinjaText strip_text(const JinjaText& text, const std::string* chars, bool left, bool right) {
  const std::string_view bytes = text.bytes();
  std::string_view kept = bytes;
  if (chars == nullptr) {
    if (left) kept = trim_left(kept);
    if (right) kept = trim_right(kept);
  } else {
    std::vector<std::string_view> set;
    for (std::string_view rest = *chars; !rest.empty(); rest.remove_prefix(set.back().size()))
      set.push_back(rest.substr(0, character_length(rest)));
    const auto is_in_set = [&](std::string_view character) {
      return std::find(set.begin(), set.end(), character) != set.end();
    };
    while (left && !kept.empty()) {
      const size_t length = character_length(kept);
      if (!is_in_set(kept.substr(0, length))) break;
      kept.remove_prefix(length);
    }
    while (right && !kept.empty()) {
      size_t begin = kept.size() - 1;
      while (begin > 0 && (static_cast<unsigned char>(kept[begin]) & 0xc0) == 0x80) --begin;
      if (begin + character_length(kept.substr(begin)) != kept.size()) begin = kept.size() - 1;
      if (!is_in_set(kept.substr(begin))) break;
      kept = kept.substr(0, begin);
    }
  }
  const auto begin = static_cast<size_t>(kept.data() - bytes.data());
  return text.slice(begin, begin + kept.size());
}

JinjaText replace_text(JinjaContext& context, const JinjaText& text, const JinjaText& from,
                       const JinjaText& to, int64_t count) {
  const std::string& bytes = text.bytes();
  context.charge_text(bytes.size());
  JinjaText out;
  size_t at = 0;
  for (; count != 0; --count) {
    const size_t found = bytes.find(from.bytes(), at);
    if (found == bytes.npos) break;
    // An empty text is found in front of each character and at the end.
    const bool is_empty = from.empty();
    const size_t end = !is_empty ? found + from.size()
                       : at == bytes.size()
                           ? at
                           : at + character_length(std::string_view(bytes).substr(at));
    context.charge(1 + to.size() / 16);
    context.check_text(out.size() + to.size());
    out.append(text.slice(at, found));
    out.append(to);
    if (is_empty) out.append(text.slice(at, end));
    if (is_empty && at == bytes.size()) return out;
    at = end;
  }
  out.append(text.slice(at, bytes.size()));
  context.check_text(out.size());
  return out;
}

JinjaText join_texts(JinjaContext& context, const JinjaText& separator, const JinjaItems& items) {
  JinjaText out;
  for (size_t i = 0; i < items.size(); ++i) {
    const JinjaText text = print_value(context, items[i]);
    context.charge(1 + separator.size() / 16);
    context.check_text(out.size() + separator.size() + text.size());
    if (i > 0) out.append(separator);
    out.append(text);
  }
  return out;
}

std::vector<JinjaText> split_lines(const JinjaText& text, bool keep_ends) {
  static constexpr std::string_view kBreaks[] = {
      "\r\n", "\n", "\r", "\v", "\f", "\x1c", "\x1d", "\x1e", "\u0085", "\u2028", "\u2029"};
  const std::string_view bytes = text.bytes();
  std::vector<JinjaText> lines;
  size_t begin = 0;
  for (size_t i = 0; i < bytes.size();) {
    const std::string_view rest = bytes.substr(i);
    const auto* found = std::find_if(std::begin(kBreaks), std::end(kBreaks),
                                     [&](std::string_view each) { return rest.starts_with(each); });
    if (found == std::end(kBreaks)) {
      ++i;
      continue;
    }
    lines.push_back(text.slice(begin, keep_ends ? i + found->size() : i));
    begin = i += found->size();
  }
  if (begin < bytes.size()) lines.push_back(text.slice(begin, bytes.size()));
  return lines;
}

}  // namespace etrlrec
