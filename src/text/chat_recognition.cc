#include "text/chat_recognition.h"

#include <fmt/ranges.h>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"

namespace etrlrec {
namespace {

constexpr uint64_t kMaxTemplateBytes = uint64_t{16} << 20;

// The template of a folder; the path or key it comes from goes to `source`.
std::string find_template(const fs::path& folder, std::string& source) {
  const fs::path file = folder / "chat_template.jinja", config = folder / "tokenizer_config.json";
  source = file.string();
  if (fs::exists(file)) return read_file(file, kMaxTemplateBytes);
  if (!fs::exists(config)) return "";
  source = config.string() + ": chat_template";
  const Json root = parse_json(read_file(config, kMaxTemplateBytes), config.string());
  const Json value = get_or<Json>(root, "chat_template", Json(), config.string());
  if (!value.is_array()) return get_or<std::string>(root, "chat_template", "", config.string());
  for (const Json& entry : value)
    if (get<std::string>(entry, "name", source) == "default")
      return get<std::string>(entry, "template", source);
  return "";
}

// A token of tokenizer_config.json: a text or an object with one.
std::optional<std::string> config_token(const Json& config, const char* key,
                                        const std::string& name) {
  const Json value = get_or<Json>(config, key, Json(), name);
  if (value.is_null()) return std::nullopt;
  if (value.is_object()) return get<std::string>(value, "content", name + ": " + key);
  return get<std::string>(config, key, name);
}

JinjaChatTokens folder_tokens(const fs::path& folder) {
  const fs::path path = folder / "tokenizer_config.json";
  if (!fs::exists(path)) return {};
  const Json config = parse_json(read_file(path, kMaxTemplateBytes), path.string());
  return {config_token(config, "bos_token", path.string()),
          config_token(config, "eos_token", path.string()),
          {}};
}

// Conversations in which templates differ: with and without a system message, in other orders of
// roles, with thoughts, results of tools and white space.
const std::vector<std::vector<ChatMessage>>& probes() {
  static const std::vector<std::vector<ChatMessage>> table{
      {{"user", "a"}},
      {{"system", "s"}, {"user", "a"}},
      {{"user", "a"}, {"assistant", "b"}},
      {{"user", "a"}, {"assistant", "b"}, {"user", "c"}},
      {{"system", "s"}, {"user", "a"}, {"assistant", "b"}, {"user", "c"}, {"assistant", "d"}},
      {{"system", " \n s\n"}, {"user", "\n a \n\n"}, {"assistant", " b\n"}, {"user", " c "}},
      {{"system", ""}, {"user", ""}, {"assistant", ""}, {"user", "c"}},
      {{"user", "a"}, {"assistant", "<think>\nt\n</think>\n\nb"}, {"user", "c"}},
      {{"user", "a"}, {"assistant", "<think>\nt\n</think>\n\nb"}},
      {{"user", "a"}, {"assistant", "b"}, {"user", "<tool_response>r</tool_response>"}},
      {{"user", "a"}, {"user", "b"}},
      {{"user", "a"}, {"system", "s"}, {"user", "b"}},
      {{"system", "s"}, {"system", "r"}, {"user", "a"}},
      {{"assistant", "b"}, {"user", "a"}},
      {{"system", "s"}},
      {{"user", "<|im_end|> & {{ 1 }} \u00e9\u3000"}, {"assistant", "'\"\\"}, {"user", "1"}},
  };
  return table;
}

// Nothing for a refusal. Without `with_specials` one plain text.
std::vector<ChatPiece> try_render(const ChatTemplate& chat,
                                  const std::vector<ChatMessage>& messages,
                                  bool add_generation_prompt, bool with_specials) {
  try {
    std::vector<ChatPiece> pieces = render_chat(chat, messages, add_generation_prompt);
    if (with_specials) return pieces;
    std::string text;
    for (const ChatPiece& piece : pieces) text += piece.text;
    return {{std::move(text)}};
  } catch (const Error&) {
    return {};
  }
}

ChatTemplate jinja_template(const std::string& text, const std::string& source,
                            JinjaChatTokens tokens) {
  ChatTemplate chat{.name = "jinja", .family = ChatFamily::kJinja};
  chat.jinja = std::make_shared<const JinjaChat>(text, source, std::move(tokens));
  chat.end_token = chat.jinja->end_token();
  return chat;
}

// Where the tokenizer's added tokens are known, the same ones must be printed, too.
bool renders_as(const ChatTemplate& chat, const ChatTemplate& named) {
  if (chat.jinja->folds_system()) return false;
  const bool specials = !chat.jinja->tokens().added.empty();
  for (const auto& messages : probes())
    for (const bool prompt : {true, false})
      if (try_render(chat, messages, prompt, specials) !=
          try_render(named, messages, prompt, specials))
        return false;
  return true;
}

bool has_turns(const ChatTemplate& named) {
  return named.family != ChatFamily::kPlain && named.family != ChatFamily::kT5 && named.thinking;
}

std::string find_name(const ChatTemplate& chat) {
  for (const std::string& name : chat_template_names()) {
    const ChatTemplate named = chat_template_by_name(name);
    if (has_turns(named) && renders_as(chat, named)) return name;
  }
  return "";
}

}  // namespace

std::string chat_template_text(const fs::path& folder) {
  std::string source;
  return find_template(folder, source);
}

std::optional<ChatTemplate> folder_chat_template(const fs::path& folder,
                                                 const Tokenizer& tokenizer) {
  std::string source;
  const std::string text = find_template(folder, source);
  if (text.empty()) return std::nullopt;
  JinjaChatTokens tokens = folder_tokens(folder);
  tokens.added = tokenizer.added_token_names();
  ChatTemplate chat = jinja_template(text, source, std::move(tokens));
  const std::string name = find_name(chat);
  return name.empty() ? std::move(chat) : chat_template_by_name(name);
}

}  // namespace etrlrec
