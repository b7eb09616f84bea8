// Which of the known chat templates a Jinja text is. The text is brought into a form without layout
// (white space outside of strings, kind of quotes, indexing by name, joined literals) and compared
// by the expressions that print turns: all marks of a template must be there and none that would
// change its output.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace etrlrec {

// Name of the template in chat_template.jinja or, failing that, in tokenizer_config.json. Judged by
// the expressions that print the turns, so another layout of the same template is recognised.
// Errors (kModel), each with the choices of --chat-template: there is none, or it is another one.
std::string recognise_chat_template(const std::filesystem::path& folder);
// The same without errors: "" where there is none or another one.
std::string known_chat_template(const std::filesystem::path& folder);
// The same for the text of a template; "" when it is none of the known ones.
std::string recognise_chat_text(std::string_view jinja);
// The text of the folder's template, "" without one.
std::string chat_template_text(const std::filesystem::path& folder);

}  // namespace etrlrec
