// Reads a Jinja template into its syntax tree. Tags are those that chat templates may use: for, if,
// set, macro, call, filter, with, generation, break, continue, print and raw; others are errors
// that name them. Internal to text/.
#pragma once

#include <string>
#include <string_view>

#include "text/jinja_ast.h"

namespace etrlrec {

// Errors (kModel) "name:line: ...".
JinjaBody parse_jinja(std::string_view text, const std::string& name);

}  // namespace etrlrec
