// Filters of the Jinja interpreter that go over the items of a value: map, select, sort and the
// like. Internal to text/.
#pragma once

#include <string_view>

#include "text/jinja_arguments.h"
#include "text/jinja_value.h"

namespace etrlrec {

using JinjaFilter = JinjaValue (*)(JinjaContext&, const JinjaValue&, const JinjaArguments&);

// Null for a name that is none of them; map() is not among them, since it calls other filters.
JinjaFilter find_sequence_filter(std::string_view name);

// What is at a path as "a.b.0" below an item; texts in lower case with `ignore_case`.
JinjaValue value_at(JinjaContext& context, JinjaValue item, const JinjaValue& path,
                    bool ignore_case = false);
JinjaValue make_generator(JinjaContext& context, JinjaItems items);

}  // namespace etrlrec
