#include "text/jinja_tests.h"

#include <algorithm>

#include "text/jinja_case.h"
#include "text/jinja_operators.h"
#include "text/jinja_print.h"

namespace etrlrec {
namespace {

using Test = bool (*)(JinjaContext&, const JinjaValue&);

struct TestRow {
  std::string_view name;
  Test holds;
};

template <JinjaType kType>
bool has_type(JinjaContext&, const JinjaValue& value) {
  return value.is(kType);
}

template <bool kWanted>
bool is_boolean_value(JinjaContext&, const JinjaValue& value) {
  return value.is(JinjaType::kBoolean) && (value.integer() != 0) == kWanted;
}

template <int64_t kRest>
bool has_rest(JinjaContext& context, const JinjaValue& value) {
  const JinjaValue rest = binary_operation(context, "%", value, JinjaValue(int64_t{2}));
  return equals(context, rest, JinjaValue(kRest));
}

// Undefined values have items (none), so they are sequences, too.
bool is_sequence(JinjaContext&, const JinjaValue& value) {
  return value.is_undefined() || value.is_string() || value.is(JinjaType::kList) ||
         value.is(JinjaType::kTuple) || value.is(JinjaType::kRange) || value.is(JinjaType::kDict);
}

constexpr TestRow kTests[] = {
    {"undefined", has_type<JinjaType::kUndefined>},
    {"defined", [](JinjaContext&, const JinjaValue& value) { return !value.is_undefined(); }},
    {"none", has_type<JinjaType::kNone>},
    {"string", has_type<JinjaType::kString>},
    {"boolean", has_type<JinjaType::kBoolean>},
    {"integer", has_type<JinjaType::kInteger>},
    {"float", has_type<JinjaType::kFloat>},
    {"mapping", has_type<JinjaType::kDict>},
    {"number", [](JinjaContext&, const JinjaValue& value) { return value.is_number(); }},
    {"true", is_boolean_value<true>},
    {"false", is_boolean_value<false>},
    {"iterable", [](JinjaContext&, const JinjaValue& value) { return is_iterable(value); }},
    {"sequence", is_sequence},
    {"callable",
     [](JinjaContext&, const JinjaValue& value) {
       return value.is_undefined() || value.is(JinjaType::kCallable) || value.is(JinjaType::kLoop);
     }},
    {"odd", has_rest<1>},
    {"even", has_rest<0>},
    {"lower",
     [](JinjaContext& context, const JinjaValue& value) {
       return is_lower_case(print_value(context, value).bytes());
     }},
    {"upper",
     [](JinjaContext& context, const JinjaValue& value) {
       return is_upper_case(print_value(context, value).bytes());
     }},
    {"escaped",
     [](JinjaContext&, const JinjaValue& value) {
       return value.is_string() && value.text().is_markup;
     }},
};

// Tests with one argument that are operators.
constexpr std::pair<std::string_view, std::string_view> kComparisons[] = {
    {"eq", "=="}, {"equalto", "=="}, {"==", "=="},      {"ne", "!="},
    {"!=", "!="}, {"lt", "<"},       {"lessthan", "<"}, {"<", "<"},
    {"le", "<="}, {"<=", "<="},      {"gt", ">"},       {"greaterthan", ">"},
    {">", ">"},   {"ge", ">="},      {">=", ">="},      {"in", "in"}};

bool is_same(JinjaContext& context, const JinjaValue& a, const JinjaValue& b) {
  const bool is_single = a.is(JinjaType::kNone) || a.is(JinjaType::kBoolean) ||
                         b.is(JinjaType::kNone) || b.is(JinjaType::kBoolean);
  if (is_single) return a.type() == b.type() && equals(context, a, b);
  if (a.type() != b.type()) return false;
  if (a.is_number() || a.is_string())
    context.fail("the test sameas is not supported for texts and numbers\nhint: use ==");
  return a.same_object(b);
}

}  // namespace

bool run_test(JinjaContext& context, const std::string& name, const JinjaValue& value,
              const JinjaArguments& arguments) {
  context.charge();
  const std::string call = "the test " + name;
  for (const TestRow& row : kTests) {
    if (row.name != name) continue;
    const JinjaParameters parameters(context, call, {}, arguments);
    return row.holds(context, value);
  }
  for (const auto& [test, op] : kComparisons) {
    if (test != name) continue;
    const JinjaParameters parameters(context, call, {"other"}, arguments);
    return compare(context, op, value, parameters.required(0));
  }
  if (name == "divisibleby") {
    const JinjaParameters parameters(context, call, {"num"}, arguments);
    const JinjaValue rest = binary_operation(context, "%", value, parameters.required(0));
    return equals(context, rest, JinjaValue(int64_t{0}));
  }
  if (name == "sameas") {
    const JinjaParameters parameters(context, call, {"other"}, arguments);
    return is_same(context, value, parameters.required(0));
  }
  context.fail("the test \"{}\" is not supported", name);
}

}  // namespace etrlrec
