// Words of a Jinja template: its text between blocks, and the names, literals and operators inside
// of them. Removes the white space that `-` marks and that the settings trim_blocks and
// lstrip_blocks of Transformers do. Internal to text/.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace etrlrec {

struct JinjaToken {
  enum class Kind : int8_t {
    kText,
    kPrintBegin,  // {{
    kPrintEnd,
    kBlockBegin,  // {%
    kBlockEnd,
    kName,
    kString,
    kInteger,
    kFloat,
    kOperator,
    kEnd,
  };
  Kind kind = Kind::kEnd;
  std::string value;  // without quotes, escapes read
  int line = 1;
  bool is(std::string_view op) const { return kind == Kind::kOperator && value == op; }
  bool is_name(std::string_view name) const { return kind == Kind::kName && value == name; }
};

// The last token is kEnd. Errors (kModel) "name:line: ...".
std::vector<JinjaToken> read_jinja_tokens(std::string_view text, const std::string& name);

}  // namespace etrlrec
