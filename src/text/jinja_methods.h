// Methods of Python's str, dict and list that chat templates call, and the attributes of `loop`.
// Those that would change a value are undefined, as in Jinja's immutable sandbox; the others of
// Python that are left out are errors that name them. Internal to text/.
#pragma once

#include <string>

#include "text/jinja_arguments.h"
#include "text/jinja_value.h"

namespace etrlrec {

// Error: an attribute of the type that Python has and this interpreter has not.
bool has_method(JinjaContext& context, const JinjaValue& value, const std::string& name);
JinjaValue make_method(const JinjaValue& self, const std::string& name);
JinjaValue call_method(JinjaContext& context, const JinjaCallable& method,
                       const JinjaArguments& arguments);
JinjaValue loop_attribute(JinjaContext& context, const JinjaValue& loop, const std::string& name);

// str.strip of what `chars` are, white space without them.
JinjaText strip_text(const JinjaText& text, const std::string* chars, bool left, bool right);
// str.replace; count below 0: all.
JinjaText replace_text(JinjaContext& context, const JinjaText& text, const JinjaText& from,
                       const JinjaText& to, int64_t count);
// str.join of what print_value makes of the items.
JinjaText join_texts(JinjaContext& context, const JinjaText& separator, const JinjaItems& items);
std::vector<JinjaText> split_lines(const JinjaText& text, bool keep_ends);

}  // namespace etrlrec
