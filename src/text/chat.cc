#include "text/chat.h"

#include "base/check.h"
#include "base/sha256.h"
#include "text/jinja_text.h"

namespace etrlrec {
namespace {

constexpr std::string_view kOpenThought = "<think>", kCloseThought = "</think>";

std::vector<ChatTemplate> make_templates() {
  using enum ChatFamily;
  const std::string qwen25 = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.";
  const std::string smollm2 =
      "You are a helpful AI assistant named SmolLM, trained by Hugging Face";
  return {
      {.name = "chatml", .family = kChatml, .end_token = "<|im_end|>"},
      {.name = "qwen2",
       .family = kChatml,
       .default_system = "You are a helpful assistant.",
       .end_token = "<|im_end|>"},
      {.name = "qwen2.5", .family = kChatml, .default_system = qwen25, .end_token = "<|im_end|>"},
      {.name = "smollm2", .family = kChatml, .default_system = smollm2, .end_token = "<|im_end|>"},
      {.name = "qwen3", .family = kQwen3, .end_token = "<|im_end|>"},
      {.name = "qwen3-no-thinking", .family = kQwen3, .end_token = "<|im_end|>", .thinking = false},
      {.name = "llama3", .family = kLlama3, .end_token = "<|eot_id|>"},
      {.name = "mistral", .family = kMistral, .end_token = "</s>"},
      {.name = "plain", .family = kPlain},
      {.name = "t5", .family = kT5, .end_token = "</s>"},
  };
}

const std::vector<ChatTemplate>& templates() {
  static const std::vector<ChatTemplate> table = make_templates();
  return table;
}

// Collects pieces; neighbouring plain texts become one, because merges of a tokenizer may cross
// from the template's text into the content.
class Pieces {
 public:
  Pieces& text(std::string_view text) {
    if (text.empty()) return *this;
    if (pieces_.empty() || pieces_.back().is_special) pieces_.push_back({});
    pieces_.back().text += text;
    return *this;
  }
  Pieces& special(std::string_view token) {
    pieces_.push_back({std::string(token), true});
    return *this;
  }
  std::vector<ChatPiece> take() { return std::move(pieces_); }

 private:
  std::vector<ChatPiece> pieces_;
};

std::string_view strip_left(std::string_view text, std::string_view what) {
  while (text.starts_with(what)) text.remove_prefix(what.size());
  return text;
}
std::string_view strip_right(std::string_view text, std::string_view what) {
  while (text.ends_with(what)) text.remove_suffix(what.size());
  return text;
}
std::string_view strip(std::string_view text, std::string_view what) {
  return strip_right(strip_left(text, what), what);
}

std::string_view trim(std::string_view text) { return trim_left(trim_right(text)); }

void render_chatml(const ChatTemplate& chat, std::span<const ChatMessage> messages, bool prompt,
                   Pieces& out) {
  const auto turn = [&](const std::string& role, const std::string& content) {
    out.special("<|im_start|>").text(role + "\n").text(content).special("<|im_end|>").text("\n");
  };
  if (messages[0].role != "system" && !chat.default_system.empty())
    turn("system", chat.default_system);
  for (const ChatMessage& message : messages) turn(message.role, message.content);
  if (prompt) out.special("<|im_start|>").text("assistant\n");
}

// Index of the user's last question; results of tools are in user turns and are none.
size_t last_question(std::span<const ChatMessage> messages) {
  for (size_t i = messages.size(); i-- > 0;) {
    const std::string& content = messages[i].content;
    const bool is_result =
        content.starts_with("<tool_response>") && content.ends_with("</tool_response>");
    if (messages[i].role == "user" && !is_result) return i;
  }
  return messages.size() - 1;
}

// Thoughts of earlier answers are left out; answers after the last question keep theirs.
void render_qwen3_answer(std::string_view content, bool is_last, bool after_question, Pieces& out) {
  std::string_view thought;
  if (content.find(kCloseThought) != content.npos) {
    thought = strip_right(content.substr(0, content.find(kCloseThought)), "\n");
    if (const size_t open = thought.rfind(kOpenThought); open != thought.npos)
      thought.remove_prefix(open + kOpenThought.size());
    thought = strip_left(thought, "\n");
    content.remove_prefix(content.rfind(kCloseThought) + kCloseThought.size());
    content = strip_left(content, "\n");
  }
  out.special("<|im_start|>").text("assistant\n");
  if (after_question && (is_last || !thought.empty())) {
    out.special(kOpenThought).text("\n").text(strip(thought, "\n")).text("\n");
    out.special(kCloseThought).text("\n\n");
    content = strip_left(content, "\n");
  }
  out.text(content).special("<|im_end|>").text("\n");
}

void render_qwen3(const ChatTemplate& chat, std::span<const ChatMessage> messages, bool prompt,
                  Pieces& out) {
  const size_t question = last_question(messages);
  for (size_t i = 0; i < messages.size(); ++i) {
    const auto& [role, content] = messages[i];
    if (role == "assistant") {
      render_qwen3_answer(content, i + 1 == messages.size(), i > question, out);
    } else {
      out.special("<|im_start|>").text(role + "\n").text(content).special("<|im_end|>").text("\n");
    }
  }
  if (!prompt) return;
  out.special("<|im_start|>").text("assistant\n");
  if (!chat.thinking) out.special(kOpenThought).text("\n\n").special(kCloseThought).text("\n\n");
}

void render_llama3(const ChatTemplate& chat, std::span<const ChatMessage> messages, bool prompt,
                   Pieces& out) {
  const auto open = [&](std::string_view role) -> Pieces& {
    out.special("<|start_header_id|>").text(role).special("<|end_header_id|>");
    return out.text("\n\n");
  };
  out.special("<|begin_of_text|>");
  open("system").text("Cutting Knowledge Date: December 2023\nToday Date: " + chat.date + "\n\n");
  if (messages[0].role == "system") {
    out.text(trim(messages[0].content));
    messages = messages.subspan(1);
  }
  out.special("<|eot_id|>");
  for (const ChatMessage& message : messages)
    open(message.role).text(trim(message.content)).special("<|eot_id|>");
  if (prompt) open("assistant");
}

// The system message is written in front of the last question, as a paragraph of it.
void render_mistral(std::span<const ChatMessage> messages, Pieces& out) {
  std::string_view system;
  const bool has_system = messages[0].role == "system";
  if (has_system) {
    system = messages[0].content;
    messages = messages.subspan(1);
  }
  out.special("<s>");
  for (size_t i = 0; i < messages.size(); ++i) {
    const auto& [role, content] = messages[i];
    CHECK(role == (i % 2 == 0 ? "user" : "assistant"), kInput,
          "chat template mistral: expected user and assistant in turn after an optional system "
          "message, found {} as message {}",
          role, i + has_system);
    if (role == "assistant") {
      out.text(" ").text(trim(content)).special("</s>");
      continue;
    }
    out.special("[INST]").text(" ");
    if (has_system && i + 2 >= messages.size() && i % 2 == 0) out.text(system).text("\n\n");
    out.text(content).special("[/INST]");
  }
}

void render_joined(const ChatTemplate& chat, std::span<const ChatMessage> messages,
                   std::string_view separator, Pieces& out) {
  for (size_t i = 0; i < messages.size(); ++i) {
    CHECK(chat.family != ChatFamily::kT5 || messages[i].role != "assistant", kInput,
          "chat template t5: an encoder reads no answers; expected roles system and user");
    out.text(i > 0 ? separator : "").text(messages[i].content);
  }
  if (chat.family == ChatFamily::kT5) out.special(chat.end_token);
}

}  // namespace

const std::vector<std::string>& chat_template_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> out;
    for (const ChatTemplate& chat : templates()) out.push_back(chat.name);
    return out;
  }();
  return names;
}

ChatTemplate chat_template_by_name(std::string_view name) {
  for (const ChatTemplate& chat : templates())
    if (chat.name == name) return chat;
  fail(ExitCode::kUsage, "unknown chat template \"{}\"; known: {}", name,
       fmt::join(chat_template_names(), ", "));
}

std::string chat_template_hash(const ChatTemplate& chat) {
  std::string text = fmt::format("{}\n{}\n{}\n{}\n{}", chat.name, chat.version, chat.default_system,
                                 chat.thinking, chat.date);
  if (chat.jinja) {
    const JinjaChatTokens& tokens = chat.jinja->tokens();
    text += fmt::format("\n{}\n{}\n{}", tokens.bos_token.value_or(""),
                        tokens.eos_token.value_or(""), chat.jinja->text());
  }
  return sha256_hex(text);
}

std::vector<ChatPiece> render_chat(const ChatTemplate& chat, std::span<const ChatMessage> messages,
                                   bool add_generation_prompt) {
  CHECK(!messages.empty(), kInput, "chat: expected at least one message");
  for (const ChatMessage& message : messages)
    CHECK(message.role == "system" || message.role == "user" || message.role == "assistant", kInput,
          "chat: unknown role \"{}\"; known: system, user, assistant", message.role);
  Pieces out;
  switch (chat.family) {
    case ChatFamily::kJinja:
      CHECK(chat.jinja != nullptr, kFailure, "chat template {}: it has no text", chat.name);
      return chat.jinja->render(messages, add_generation_prompt, chat.thinking, chat.date);
    case ChatFamily::kChatml:
      render_chatml(chat, messages, add_generation_prompt, out);
      break;
    case ChatFamily::kQwen3:
      render_qwen3(chat, messages, add_generation_prompt, out);
      break;
    case ChatFamily::kLlama3:
      render_llama3(chat, messages, add_generation_prompt, out);
      break;
    case ChatFamily::kMistral:
      render_mistral(messages, out);
      break;
    case ChatFamily::kPlain:
      render_joined(chat, messages, "\n\n", out);
      break;
    case ChatFamily::kT5:
      render_joined(chat, messages, " ", out);
      break;
  }
  return out.take();
}

std::vector<int64_t> encode_chat(const Tokenizer& tokenizer, std::span<const ChatPiece> pieces) {
  std::vector<int64_t> ids;
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (pieces[i].is_special) {
      ids.push_back(tokenizer.special_id(pieces[i].text));
      continue;
    }
    std::string_view text = pieces[i].text;
    if (i > 0 && pieces[i - 1].is_special && tokenizer.added_token(pieces[i - 1].text).rstrip)
      text = trim_left(text);
    if (i + 1 < pieces.size() && pieces[i + 1].is_special &&
        tokenizer.added_token(pieces[i + 1].text).lstrip)
      text = trim_right(text);
    const auto part = i == 0 ? tokenizer.encode(text) : tokenizer.encode_after_special(text);
    ids.insert(ids.end(), part.begin(), part.end());
  }
  return ids;
}

ChatFrame chat_frame(const Tokenizer& tokenizer, const ChatTemplate& chat,
                     std::string_view system) {
  constexpr std::string_view kMark = "\x01";
  const std::vector<ChatMessage> messages{{"system", std::string(system)},
                                          {"user", std::string(kMark)}};
  std::vector<ChatPiece> before, after;
  int found = 0;
  for (const ChatPiece& piece : render_chat(chat, messages, true)) {
    std::string_view text = piece.text;
    for (size_t mark; !piece.is_special && (mark = text.find(kMark)) != text.npos; ++found) {
      if (mark > 0) (found > 0 ? after : before).push_back({std::string(text.substr(0, mark))});
      text.remove_prefix(mark + kMark.size());
    }
    if (!text.empty())
      (found > 0 ? after : before).push_back({std::string(text), piece.is_special});
  }
  CHECK(found == 1, kInput,
        "chat template {}: expected the user's message once in what it prints, found {}", chat.name,
        found);
  return {encode_chat(tokenizer, before), encode_chat(tokenizer, after)};
}

}  // namespace etrlrec
