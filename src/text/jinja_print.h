// How a Jinja rendering writes values: str() and repr() of Python, and json.dumps for the filter
// tojson. A text made of values counts as the template's only where each text in it does.
// Internal to text/.
#pragma once

#include <string>

#include "text/jinja_value.h"

namespace etrlrec {

// What {{ value }} prints; texts themselves, nothing for undefined ones. Errors: values without a
// text of their own (generators, functions, namespaces).
JinjaText print_value(JinjaContext& context, const JinjaValue& value);
std::string print_float(double number);  // repr

struct JsonStyle {
  bool ensure_ascii = false, sort_keys = false, indented = false;
  std::string indent;
  std::string item_separator = ", ", key_separator = ": ";
};
// Errors: what JSON has no form for, undefined values among it.
JinjaText print_json(JinjaContext& context, const JinjaValue& value, const JsonStyle& style);

}  // namespace etrlrec
