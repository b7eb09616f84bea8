// Tests of the Jinja interpreter: what follows `is`. Internal to text/.
#pragma once

#include <string>

#include "text/jinja_arguments.h"
#include "text/jinja_value.h"

namespace etrlrec {

// Errors: an unknown test, which is named; arguments that Jinja refuses, too.
bool run_test(JinjaContext& context, const std::string& name, const JinjaValue& value,
              const JinjaArguments& arguments);

}  // namespace etrlrec
