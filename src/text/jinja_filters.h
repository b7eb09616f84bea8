// Filters of the Jinja interpreter: what follows `|`. Internal to text/.
#pragma once

#include <string>

#include "text/jinja_arguments.h"
#include "text/jinja_value.h"

namespace etrlrec {

// Errors: an unknown filter, which is named; values and arguments that Jinja refuses, too.
JinjaValue run_filter(JinjaContext& context, const std::string& name, const JinjaValue& value,
                      const JinjaArguments& arguments);

}  // namespace etrlrec
