#include "text/jinja_sequence_filters.h"

#include <algorithm>
#include <numeric>

#include "text/jinja_case.h"
#include "text/jinja_methods.h"
#include "text/jinja_operators.h"
#include "text/jinja_print.h"
#include "text/jinja_tests.h"

namespace etrlrec {
namespace {

using Context = JinjaContext;
using Value = JinjaValue;
using Arguments = JinjaArguments;

Value lower(Context& context, const Value& value) {
  if (!value.is_string()) return value;
  context.charge(value.text().size());
  return Value(JinjaText(lower_case(value.bytes()), value.text().is_template()));
}

Value filter_length(Context& context, const Value& value, const Arguments& given) {
  const JinjaParameters parameters(context, "length", {}, given);
  if (value.is_undefined()) return Value(int64_t{0});
  if (value.is_string()) {
    context.charge(value.text().size() / 16);
    return Value(static_cast<int64_t>(count_characters(value.bytes())));
  }
  if (value.is_sized_sequence()) return Value(std::ssize(value.sequence().items));
  if (value.is(JinjaType::kDict)) return Value(std::ssize(value.dict().entries));
  if (value.is(JinjaType::kLoop)) return Value(std::ssize(value.loop().items->items));
  context.fail("length: {} has no length", type_name(value));
}

Value filter_list(Context& context, const Value& value, const Arguments& given) {
  const JinjaParameters parameters(context, "list", {}, given);
  return make_list(context, iterate(context, value)->items);
}

Value filter_items(Context& context, const Value& value, const Arguments& given) {
  const JinjaParameters parameters(context, "items", {}, given);
  JinjaItems items;
  if (value.is(JinjaType::kDict)) {
    for (const auto& [key, entry] : value.dict().entries)
      items.push_back(make_sequence(context, JinjaType::kTuple, {key, entry}));
  } else if (!value.is_undefined()) {
    context.fail("items: expected a dict, found {}", type_name(value));
  }
  return make_generator(context, std::move(items));
}

Value filter_join(Context& context, const Value& value, const Arguments& given) {
  const JinjaParameters parameters(context, "join", {"d", "attribute"}, given);
  const JinjaText separator = print_value(context, parameters.value(0, Value::text("", true)));
  JinjaItems items = iterate(context, value)->items;
  const Value path = parameters.value(1, Value::none());
  if (!path.is(JinjaType::kNone))
    for (Value& item : items) item = value_at(context, item, path);
  return Value(join_texts(context, separator, items));
}

Value filter_first(Context& context, const Value& value, const Arguments& given) {
  const JinjaParameters parameters(context, "first", {}, given);
  if (value.is(JinjaType::kGenerator)) {
    const JinjaSequence& left = value.sequence();
    if (left.taken < left.items.size()) return left.items[left.taken++];
    return Value::undefined("the first item");
  }
  const auto items = iterate(context, value);
  return items->items.empty() ? Value::undefined("the first item") : items->items.front();
}

Value filter_last(Context& context, const Value& value, const Arguments& given) {
  const JinjaParameters parameters(context, "last", {}, given);
  if (value.is(JinjaType::kGenerator)) context.fail("last: a generator cannot be reversed");
  const auto items = iterate(context, value);
  return items->items.empty() ? Value::undefined("the last item") : items->items.back();
}

Value filter_reverse(Context& context, const Value& value, const Arguments& given) {
  const JinjaParameters parameters(context, "reverse", {}, given);
  JinjaItems items = iterate(context, value)->items;
  context.charge(items.size());
  std::reverse(items.begin(), items.end());
  if (value.is(JinjaType::kGenerator) || value.is_undefined())
    return make_list(context, std::move(items));
  if (!value.is_string()) return make_generator(context, std::move(items));
  JinjaText out;
  for (const Value& item : items) out.append(item.text());
  return Value(std::move(out));
}

// Values by which items are ordered or told apart: of the attribute, or themselves.
JinjaItems keys_of(Context& context, const JinjaItems& items, const Value& path,
                   bool case_sensitive) {
  JinjaItems keys;
  for (const Value& item : items) {
    if (!path.is_string() || path.bytes().find(',') == std::string::npos) {
      keys.push_back(value_at(context, item, path, !case_sensitive));
      continue;
    }
    JinjaItems parts;  // "a,b": by the first, then by the second
    std::string_view rest = path.bytes();
    for (bool more = true; more;) {
      const size_t comma = rest.find(',');
      more = comma != rest.npos;
      const Value part = Value::text(std::string(rest.substr(0, comma)));
      parts.push_back(value_at(context, item, part, !case_sensitive));
      rest.remove_prefix(more ? comma + 1 : rest.size());
    }
    keys.push_back(make_list(context, std::move(parts)));
  }
  return keys;
}

std::vector<size_t> sorted_order(Context& context, const JinjaItems& keys, bool reverse) {
  std::vector<size_t> order(keys.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return reverse ? is_less(context, keys[b], keys[a]) : is_less(context, keys[a], keys[b]);
  });
  return order;
}

Value filter_sort(Context& context, const Value& value, const Arguments& given) {
  const JinjaParameters parameters(context, "sort", {"reverse", "case_sensitive", "attribute"},
                                   given);
  const JinjaItems items = iterate(context, value)->items;
  JinjaItems keys =
      keys_of(context, items, parameters.value(2, Value::none()), parameters.flag(1, false));
  // In lists, as Jinja compares them: equal ones need no order.
  for (Value& key : keys) key = make_list(context, {key});
  JinjaItems out;
  for (size_t i : sorted_order(context, keys, parameters.flag(0, false))) out.push_back(items[i]);
  return make_list(context, std::move(out));
}

Value filter_dictsort(Context& context, const Value& value, const Arguments& given) {
  const JinjaParameters parameters(context, "dictsort", {"case_sensitive", "by", "reverse"}, given);
  if (!value.is(JinjaType::kDict))
    context.fail("dictsort: expected a dict, found {}", type_name(value));
  const std::string by = parameters.text(1, "key").bytes();
  if (by != "key" && by != "value")
    context.fail("dictsort: by: expected key or value, found {}", by);
  JinjaItems items, keys;
  for (const auto& [key, entry] : value.dict().entries) {
    items.push_back(make_sequence(context, JinjaType::kTuple, {key, entry}));
    const Value& each = by == "key" ? key : entry;
    keys.push_back(parameters.flag(0, false) ? each : lower(context, each));
  }
  JinjaItems out;
  for (size_t i : sorted_order(context, keys, parameters.flag(2, false))) out.push_back(items[i]);
  return make_list(context, std::move(out));
}

Value filter_unique(Context& context, const Value& value, const Arguments& given) {
  const JinjaParameters parameters(context, "unique", {"case_sensitive", "attribute"}, given);
  const JinjaItems items = iterate(context, value)->items;
  const JinjaItems keys =
      keys_of(context, items, parameters.value(1, Value::none()), parameters.flag(0, false));
  std::unordered_map<std::string, bool> seen;
  JinjaItems out;
  for (size_t i = 0; i < items.size(); ++i)
    if (seen.emplace(dict_key(context, keys[i]), true).second) out.push_back(items[i]);
  return make_generator(context, std::move(out));
}

template <bool kMost>
Value filter_extreme(Context& context, const Value& value, const Arguments& given) {
  const JinjaParameters parameters(context, kMost ? "max" : "min", {"case_sensitive", "attribute"},
                                   given);
  const JinjaItems items = iterate(context, value)->items;
  if (items.empty()) return Value::undefined("the item of an empty list");
  const JinjaItems keys =
      keys_of(context, items, parameters.value(1, Value::none()), parameters.flag(0, false));
  size_t best = 0;
  for (size_t i = 1; i < items.size(); ++i)
    if (kMost ? is_less(context, keys[best], keys[i]) : is_less(context, keys[i], keys[best]))
      best = i;
  return items[best];
}

Value filter_sum(Context& context, const Value& value, const Arguments& given) {
  const JinjaParameters parameters(context, "sum", {"attribute", "start"}, given);
  Value sum = parameters.value(1, Value(int64_t{0}));
  if (sum.is_string()) context.fail("sum: texts cannot be summed\nhint: use join");
  const Value path = parameters.value(0, Value::none());
  const auto items = iterate(context, value);
  for (const Value& item : items->items)
    sum = binary_operation(context, "+", sum, value_at(context, item, path));
  return sum;
}

// select, reject (kByAttribute false), selectattr, rejectattr.
template <bool kByAttribute, bool kWanted>
Value filter_select(Context& context, const Value& value, const Arguments& given) {
  constexpr const char* kName =
      kByAttribute ? (kWanted ? "selectattr" : "rejectattr") : (kWanted ? "select" : "reject");
  if (!is_true(value)) return make_generator(context, {});  // none, too
  Arguments rest{given.positional, given.named};
  Value path = Value::none();
  const auto take = [&] {
    Value out = rest.positional.front();
    rest.positional.erase(rest.positional.begin());
    return out;
  };
  if (kByAttribute) {
    if (rest.positional.empty()) context.fail("{}: expected the name of an attribute", kName);
    path = take();
  }
  std::string test;
  if (!rest.positional.empty()) {
    const Value name = take();
    if (!name.is_string()) context.fail("{}: expected the name of a test", kName);
    test = name.bytes();
  }
  JinjaItems out;
  const auto items = iterate(context, value);
  for (const Value& item : items->items) {
    const Value judged = value_at(context, item, path);
    const bool holds = test.empty() ? is_true(judged) : run_test(context, test, judged, rest);
    if (holds == kWanted) out.push_back(item);
  }
  return make_generator(context, std::move(out));
}

Value filter_batch(Context& context, const Value& value, const Arguments& given) {
  const JinjaParameters parameters(context, "batch", {"linecount", "fill_with"}, given);
  parameters.required(0);
  const int64_t size = parameters.integer(0, 1);
  JinjaItems out, batch;
  const auto items = iterate(context, value);
  for (const Value& item : items->items) {
    if (std::ssize(batch) == size) {
      out.push_back(make_list(context, std::move(batch)));
      batch.clear();
    }
    batch.push_back(item);
  }
  const Value fill = parameters.value(1, Value::none());
  while (!batch.empty() && !fill.is(JinjaType::kNone) && std::ssize(batch) < size) {
    context.charge();
    batch.push_back(fill);
  }
  if (!batch.empty()) out.push_back(make_list(context, std::move(batch)));
  return make_generator(context, std::move(out));
}

constexpr std::pair<std::string_view, JinjaFilter> kSequenceFilters[] = {
    {"length", filter_length},
    {"count", filter_length},
    {"list", filter_list},
    {"items", filter_items},
    {"join", filter_join},
    {"first", filter_first},
    {"last", filter_last},
    {"reverse", filter_reverse},
    {"sort", filter_sort},
    {"dictsort", filter_dictsort},
    {"unique", filter_unique},
    {"min", filter_extreme<false>},
    {"max", filter_extreme<true>},
    {"sum", filter_sum},
    {"select", filter_select<false, true>},
    {"reject", filter_select<false, false>},
    {"selectattr", filter_select<true, true>},
    {"rejectattr", filter_select<true, false>},
    {"batch", filter_batch},
};

}  // namespace

JinjaFilter find_sequence_filter(std::string_view name) {
  for (const auto& [each, filter] : kSequenceFilters)
    if (each == name) return filter;
  return nullptr;
}

JinjaValue value_at(Context& context, Value item, const Value& path, bool ignore_case) {
  if (path.is_integral()) {
    item = get_item(context, item, path);
  } else if (path.is_string()) {
    std::string_view rest = path.bytes();
    for (bool more = true; more;) {
      const size_t dot = rest.find('.');
      const std::string part(rest.substr(0, dot));
      const bool is_number =
          !part.empty() && part.size() < 10 && part.find_first_not_of("0123456789") == part.npos;
      item =
          get_item(context, item,
                   is_number ? Value(static_cast<int64_t>(std::stoll(part))) : Value::text(part));
      more = dot != rest.npos;
      rest.remove_prefix(more ? dot + 1 : rest.size());
    }
  } else if (!path.is(JinjaType::kNone)) {
    context.fail("expected the name of an attribute, found {}", type_name(path));
  }
  return ignore_case ? lower(context, item) : item;
}

JinjaValue make_generator(Context& context, JinjaItems items) {
  return make_sequence(context, JinjaType::kGenerator, std::move(items));
}

}  // namespace etrlrec
