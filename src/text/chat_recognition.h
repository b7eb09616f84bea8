// The chat template of a model folder: one of the named ones where its text renders a set of
// conversations exactly as that one, else the text itself, rendered by the Jinja interpreter.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "text/chat.h"

namespace etrlrec {

// The template in chat_template.jinja or, failing that, in tokenizer_config.json (of a list the one
// that is called default), with bos_token and eos_token of tokenizer_config.json; nothing where
// there is none. Name "jinja" and family kJinja where it is none of the named ones. Errors
// (kModel): a text that is no template or uses what is not supported.
std::optional<ChatTemplate> folder_chat_template(const std::filesystem::path& folder,
                                                 const Tokenizer& tokenizer);

// The text of the folder's template, "" without one.
std::string chat_template_text(const std::filesystem::path& folder);

}  // namespace etrlrec
