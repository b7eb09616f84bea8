// Runs the syntax tree of a Jinja template. Scopes are Jinja's: a turn of a loop, a macro, a block
// with text and `with` have their own; `if` has none. Internal to text/.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "text/jinja_ast.h"

namespace etrlrec {

JinjaText evaluate_jinja(JinjaContext& context, const JinjaBody& body,
                         const std::map<std::string, JinjaValue>& variables,
                         const std::function<std::string(const std::string&)>& strftime_now);

}  // namespace etrlrec
