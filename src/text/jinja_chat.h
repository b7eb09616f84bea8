// A chat template in Jinja and what it is rendered with. Only what the template itself writes can
// be a special token: a message that spells one is text, as is one that a number completes.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "text/chat_message.h"
#include "text/phrases.h"

namespace etrlrec {

class JinjaTemplate;

struct JinjaChatTokens {
  std::optional<std::string> bos_token, eos_token;  // variables of the template, if defined
  std::vector<std::string> added;                   // names of the tokenizer's added tokens
};

class JinjaChat {
 public:
  // `name` is said in errors. Error (kModel): what is no template.
  JinjaChat(std::string text, const std::string& name, JinjaChatTokens tokens);

  // Neighbouring plain pieces are joined. enable_thinking is said only where it is false;
  // `date` as "26 Jul 2024" is what strftime_now sees. A system message that the template refuses
  // or leaves out is put in front of the first user message, with a blank line between them.
  // Error (kInput) "name:line: ...": with the template's own words where it refuses the messages.
  std::vector<ChatPiece> render(std::span<const ChatMessage> messages, bool add_generation_prompt,
                                bool thinking, const std::string& date) const;

  const std::string& text() const { return text_; }
  const JinjaChatTokens& tokens() const { return tokens_; }
  // The first special token behind the content of an assistant's turn; "" where there is none.
  const std::string& end_token() const { return end_token_; }
  bool folds_system() const { return folds_system_; }

 private:
  std::vector<ChatPiece> render_as_is(std::span<const ChatMessage> messages,
                                      bool add_generation_prompt, bool thinking,
                                      const std::string& date) const;
  std::optional<std::vector<ChatPiece>> try_render(std::span<const ChatMessage> messages,
                                                   bool add_generation_prompt) const;
  bool probe_system() const;
  std::string probe_end() const;

  std::string text_;
  JinjaChatTokens tokens_;
  std::shared_ptr<const JinjaTemplate> template_;
  Phrases special_;  // names of the added tokens, by their place in the list
  bool folds_system_ = false;
  std::string end_token_;
};

}  // namespace etrlrec
