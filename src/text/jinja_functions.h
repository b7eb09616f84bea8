// Functions of Jinja and of Transformers that a chat template may call: range, namespace, dict,
// raise_exception, strftime_now. Internal to text/.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja_arguments.h"
#include "text/jinja_value.h"

namespace etrlrec {

// Owns the namespaces that are made, so that one that holds itself is freed, too.
class JinjaFunctions {
 public:
  JinjaFunctions(JinjaContext& context,
                 std::function<std::string(const std::string&)> strftime_now);
  JinjaFunctions(const JinjaFunctions&) = delete;
  ~JinjaFunctions();
  bool has(std::string_view name) const;
  JinjaValue call(const std::string& name, const JinjaArguments& arguments);

 private:
  JinjaValue make_range(const JinjaArguments& arguments);
  JinjaValue dict_of(const JinjaArguments& arguments);

  JinjaContext& context_;
  std::function<std::string(const std::string&)> strftime_now_;
  std::vector<std::unique_ptr<JinjaNamespace>> namespaces_;
};

}  // namespace etrlrec
