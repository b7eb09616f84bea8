// Arguments of a call in a Jinja template, and which parameter each belongs to. Internal to text/.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja_value.h"

namespace etrlrec {

struct JinjaArguments {
  JinjaItems positional;
  std::vector<std::pair<std::string, JinjaValue>> named;
};

// The arguments of one call by the names of its parameters; `call` is named in errors: too many,
// an unknown name, one given twice.
class JinjaParameters {
 public:
  JinjaParameters(JinjaContext& context, std::string call, std::initializer_list<const char*> names,
                  const JinjaArguments& arguments);
  bool has(size_t i) const { return values_[i].has_value(); }
  const JinjaValue& required(size_t i) const;
  JinjaValue value(size_t i, JinjaValue otherwise) const;
  bool flag(size_t i, bool otherwise) const;              // the truth of any value
  int64_t integer(size_t i, int64_t otherwise) const;     // errors: another type
  JinjaText text(size_t i, const char* otherwise) const;  // errors: another type

 private:
  JinjaContext& context_;
  std::string call_;
  std::vector<std::optional<JinjaValue>> values_;
  std::vector<const char*> names_;
};

}  // namespace etrlrec
