// Python's two ways to format texts, "%s" % x and "{}".format(x), and the escaping of HTML, for the
// Jinja interpreter. Internal to text/.
#pragma once

#include "text/jinja_arguments.h"
#include "text/jinja_value.h"

namespace etrlrec {

// Conversions s, d, i, f, x and % with flags, width and precision; %(key)s of a dict. Errors name
// what is not supported.
JinjaValue format_percent(JinjaContext& context, const JinjaText& format, const JinjaValue& values);
// {}, {0} and {name}, without format specifications.
JinjaValue format_braces(JinjaContext& context, const JinjaText& format,
                         const JinjaArguments& arguments);
JinjaText escape_html(JinjaContext& context, const JinjaText& text);

}  // namespace etrlrec
