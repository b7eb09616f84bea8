#include "text/jinja_template.h"

#include "text/jinja_eval.h"
#include "text/jinja_parser.h"

namespace etrlrec {

JinjaTemplate::JinjaTemplate(std::string_view text, std::string name)
    : name_(std::move(name)), body_(parse_jinja(text, name_)) {}

JinjaText JinjaTemplate::render(const std::map<std::string, JinjaValue>& variables,
                                const JinjaSettings& settings) const {
  JinjaContext context(name_, settings.limits);
  return evaluate_jinja(context, body_, variables, settings.strftime_now);
}

}  // namespace etrlrec
