// A Jinja template as models come with it, and its rendering: the subset of Jinja2 that chat
// templates use, with the settings of Transformers. Data only: no files, no attributes of objects,
// bounds on steps, nesting and sizes. What is not supported is an error that names it and its line.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "text/jinja_ast.h"
#include "text/jinja_context.h"
#include "text/jinja_value.h"

namespace etrlrec {

struct JinjaSettings {
  // What strftime_now(format) says; without one the function is not defined.
  std::function<std::string(const std::string& format)> strftime_now;
  JinjaLimits limits;
};

class JinjaTemplate {
 public:
  // `name` is said in errors. Error (kModel) "name:line: ...": what is no template.
  JinjaTemplate(std::string_view text, std::string name);
  // The whole text or an error (kInput) "name:line: ...", with the message of raise_exception where
  // the template itself refuses. Bytes of variables are the template's where the values say so.
  JinjaText render(const std::map<std::string, JinjaValue>& variables,
                   const JinjaSettings& settings = {}) const;

 private:
  std::string name_;
  JinjaBody body_;
};

}  // namespace etrlrec
