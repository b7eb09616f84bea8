#include "text/jinja_functions.h"

#include <algorithm>

#include "text/jinja_print.h"

namespace etrlrec {

JinjaFunctions::JinjaFunctions(JinjaContext& context,
                               std::function<std::string(const std::string&)> strftime_now)
    : context_(context), strftime_now_(std::move(strftime_now)) {}

JinjaFunctions::~JinjaFunctions() = default;

bool JinjaFunctions::has(std::string_view name) const {
  static constexpr std::string_view kNames[] = {"range",  "namespace", "dict",  "raise_exception",
                                                "lipsum", "cycler",    "joiner"};
  if (name == "strftime_now") return strftime_now_ != nullptr;
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

JinjaValue JinjaFunctions::make_range(const JinjaArguments& arguments) {
  const auto& given = arguments.positional;
  if (given.empty() || given.size() > 3 || !arguments.named.empty())
    context_.fail("range: expected one to three integers");
  for (const JinjaValue& value : given)
    if (!value.is_integral()) context_.fail("range: expected integers, found {}", type_name(value));
  const int64_t begin = given.size() > 1 ? given[0].integer() : 0;
  const int64_t end = given[given.size() > 1].integer();
  const int64_t step = given.size() > 2 ? given[2].integer() : 1;
  if (step == 0) context_.fail("range: the step is 0");
  JinjaItems items;
  for (int64_t i = begin; step > 0 ? i < end : i > end;) {
    if (std::ssize(items) >= context_.limits.range)
      context_.fail("range: expected at most {} items", context_.limits.range);
    items.emplace_back(i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return make_sequence(context_, JinjaType::kRange, std::move(items));
}

JinjaValue JinjaFunctions::dict_of(const JinjaArguments& arguments) {
  std::vector<std::pair<JinjaValue, JinjaValue>> entries;
  if (arguments.positional.size() > 1) context_.fail("dict: expected at most one argument");
  if (!arguments.positional.empty()) {
    const JinjaValue& first = arguments.positional[0];
    if (first.is(JinjaType::kDict)) {
      entries = first.dict().entries;
    } else {
      const auto items = iterate(context_, first);
      for (const JinjaValue& item : items->items) {
        const auto pair = iterate(context_, item);
        if (pair->items.size() != 2)
          context_.fail("dict: expected pairs, found {} items", pair->items.size());
        entries.emplace_back(pair->items[0], pair->items[1]);
      }
    }
  }
  for (const auto& [name, value] : arguments.named)
    entries.emplace_back(JinjaValue::text(name, true), value);
  return make_dict(context_, std::move(entries));
}

JinjaValue JinjaFunctions::call(const std::string& name, const JinjaArguments& arguments) {
  context_.charge();
  if (name == "range") return make_range(arguments);
  if (name == "dict") return dict_of(arguments);
  if (name == "namespace") {
    const JinjaValue dict = dict_of(arguments);
    auto object = std::make_unique<JinjaNamespace>();
    for (const auto& [key, value] : dict.dict().entries) {
      if (!key.is_string()) context_.fail("namespace: expected names, found {}", type_name(key));
      object->attributes[key.bytes()] = value;
    }
    namespaces_.push_back(std::move(object));
    return JinjaValue(namespaces_.back().get());
  }
  if (name == "raise_exception") {
    const JinjaParameters parameters(context_, name, {"message"}, arguments);
    context_.fail("{}", print_value(context_, parameters.required(0)).bytes());
  }
  if (name == "strftime_now") {
    const JinjaParameters parameters(context_, name, {"format"}, arguments);
    parameters.required(0);
    return JinjaValue::text(strftime_now_(parameters.text(0, "").bytes()), true);
  }
  context_.fail("the function {} is not supported", name);
}

}  // namespace etrlrec
