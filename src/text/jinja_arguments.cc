#include "text/jinja_arguments.h"

#include <algorithm>

namespace etrlrec {

JinjaParameters::JinjaParameters(JinjaContext& context, std::string call,
                                 std::initializer_list<const char*> names,
                                 const JinjaArguments& arguments)
    : context_(context), call_(std::move(call)), values_(names.size()), names_(names) {
  if (arguments.positional.size() > names.size())
    context_.fail("{}: expected at most {} arguments, found {}", call_, names.size(),
                  arguments.positional.size());
  for (size_t i = 0; i < arguments.positional.size(); ++i) values_[i] = arguments.positional[i];
  for (const auto& [name, value] : arguments.named) {
    const auto found = std::find(names_.begin(), names_.end(), name);
    if (found == names_.end())
      context_.fail("{}: the argument \"{}\" is not supported", call_, name);
    auto& place = values_[static_cast<size_t>(found - names_.begin())];
    if (place) context_.fail("{}: the argument \"{}\" is given twice", call_, name);
    place = value;
  }
}

const JinjaValue& JinjaParameters::required(size_t i) const {
  if (!values_[i]) context_.fail("{}: the argument \"{}\" is missing", call_, names_[i]);
  return *values_[i];
}

JinjaValue JinjaParameters::value(size_t i, JinjaValue otherwise) const {
  return values_[i] ? *values_[i] : std::move(otherwise);
}

bool JinjaParameters::flag(size_t i, bool otherwise) const {
  return values_[i] ? is_true(*values_[i]) : otherwise;
}

int64_t JinjaParameters::integer(size_t i, int64_t otherwise) const {
  if (!values_[i]) return otherwise;
  if (!values_[i]->is_integral())
    context_.fail("{}: {}: expected an integer, found {}", call_, names_[i],
                  type_name(*values_[i]));
  return values_[i]->integer();
}

JinjaText JinjaParameters::text(size_t i, const char* otherwise) const {
  if (!values_[i]) return {otherwise, true};
  if (!values_[i]->is_string())
    context_.fail("{}: {}: expected a text, found {}", call_, names_[i], type_name(*values_[i]));
  return values_[i]->text();
}

}  // namespace etrlrec
