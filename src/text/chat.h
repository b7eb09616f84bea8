// Chat templates: a handful by name, written out and pinned by golden strings of Transformers, and
// those in Jinja that a model brings along (text/chat_recognition.h finds them). A rendered chat is
// a list of pieces, special tokens of the template's own and plain text; contents are always plain,
// so outside text cannot open or close a turn. Tools are not rendered.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/chat_message.h"
#include "text/jinja_chat.h"
#include "text/tokenizer.h"

namespace etrlrec {

enum class ChatFamily : int8_t { kChatml, kQwen3, kLlama3, kMistral, kPlain, kT5, kJinja };

struct ChatTemplate {
  std::string name;
  int version = 1;  // raised when the same messages give another text
  ChatFamily family = ChatFamily::kPlain;
  std::string default_system{};     // where the messages have no system message; "": no such turn
  std::string end_token{};          // special token that closes an answer; "": the tokenizer's own
  bool thinking = true;             // false: the answer starts after an empty thought (qwen3)
  std::string date{"26 Jul 2024"};  // llama3 prints a date; a fixed one keeps runs repeatable
  std::shared_ptr<const JinjaChat> jinja{};  // of kJinja
};

const std::vector<std::string>& chat_template_names();  // the choices of --chat-template
// chatml: no system turn of its own. qwen2, qwen2.5, smollm2: chatml with their system message.
// qwen3, qwen3-no-thinking. llama3: the form of Llama 3.1 and 3.2. mistral: the form of Mistral 7B
// Instruct 0.3, with [INST] as a special token. plain: contents separated by blank lines, nothing
// added. t5: contents separated by a space, closed by </s>. Error (kUsage) lists the names.
ChatTemplate chat_template_by_name(std::string_view name);

// SHA-256 of all that decides the rendered text; checkpoints keep it with the name.
std::string chat_template_hash(const ChatTemplate& chat);

// Adjacent plain pieces are joined. With add_generation_prompt the text ends where the assistant's
// answer begins. A template in Jinja that refuses a system message (Gemma 2), or leaves it out,
// gets it in front of the first user message, a blank line between them. Errors (kInput): no
// messages, an unknown role, an order of roles that the template has no form for.
std::vector<ChatPiece> render_chat(const ChatTemplate& chat, std::span<const ChatMessage> messages,
                                   bool add_generation_prompt);

// Ids of the pieces. Special pieces must be added tokens of the tokenizer (kInput otherwise); those
// that take the white space next to them (lstrip, rstrip) do.
std::vector<int64_t> encode_chat(const Tokenizer& tokenizer, std::span<const ChatPiece> pieces);

// What a model reads around the content of a user's message: a text of its own between them is
// never parsed with them. Error (kInput): a template that does not print the content just once.
struct ChatFrame {
  std::vector<int64_t> before, after;  // `after` ends where the assistant's answer begins
};
ChatFrame chat_frame(const Tokenizer& tokenizer, const ChatTemplate& chat, std::string_view system);

}  // namespace etrlrec
