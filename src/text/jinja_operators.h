// Operators, attributes and items of Jinja values, with Python's rules. Internal to text/.
#pragma once

#include <string_view>

#include "text/jinja_value.h"

namespace etrlrec {

// + - * / // % ** ~. Errors: types that Python refuses, integers beyond 64 bits.
JinjaValue binary_operation(JinjaContext& context, std::string_view op, const JinjaValue& a,
                            const JinjaValue& b);
JinjaValue unary_operation(JinjaContext& context, std::string_view op, const JinjaValue& a);
// == != < <= > >= in, not in.
bool compare(JinjaContext& context, std::string_view op, const JinjaValue& a, const JinjaValue& b);

// value.name: methods before keys. value[key]: keys before methods. Undefined where there is
// neither; errors: of an undefined value, an attribute of Python that is not supported.
JinjaValue get_attribute(JinjaContext& context, const JinjaValue& value, const std::string& name);
JinjaValue get_item(JinjaContext& context, const JinjaValue& value, const JinjaValue& key);
// value[begin:end:step]; none and undefined where left out.
JinjaValue get_slice(JinjaContext& context, const JinjaValue& value, const JinjaValue& begin,
                     const JinjaValue& end, const JinjaValue& step);

}  // namespace etrlrec
