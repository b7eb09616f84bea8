#include "text/chat.h"

#include "base/check.h"
#include "base/sha256.h"

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

// Length of the white space (of Python's str.strip) at one end of a text, 0 if there is none.
size_t white_space_at(std::string_view text, bool at_end) {
  static constexpr std::string_view kWide[] = {"\u0085", "\u00a0", "\u1680", "\u2000", "\u2001",
                                               "\u2002", "\u2003", "\u2004", "\u2005", "\u2006",
                                               "\u2007", "\u2008", "\u2009", "\u200a", "\u2028",
                                               "\u2029", "\u202f", "\u205f", "\u3000"};
  if (text.empty()) return 0;
  const char c = at_end ? text.back() : text.front();
  if (c == ' ' || (c >= '\t' && c <= '\r') || (c >= '\x1c' && c <= '\x1f')) return 1;
  for (std::string_view wide : kWide)
    if (at_end ? text.ends_with(wide) : text.starts_with(wide)) return wide.size();
  return 0;
}

std::string_view trim_left(std::string_view text) {
  while (const size_t n = white_space_at(text, false)) text.remove_prefix(n);
  return text;
}
std::string_view trim_right(std::string_view text) {
  while (const size_t n = white_space_at(text, true)) text.remove_suffix(n);
  return text;
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
  return sha256_hex(fmt::format("{}\n{}\n{}\n{}\n{}", chat.name, chat.version, chat.default_system,
                                chat.thinking, chat.date));
}

std::vector<ChatPiece> render_chat(const ChatTemplate& chat, std::span<const ChatMessage> messages,
                                   bool add_generation_prompt) {
  CHECK(!messages.empty(), kInput, "chat: expected at least one message");
  for (const ChatMessage& message : messages)
    CHECK(message.role == "system" || message.role == "user" || message.role == "assistant", kInput,
          "chat: unknown role \"{}\"; known: system, user, assistant", message.role);
  Pieces out;
  switch (chat.family) {
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
  bool behind = false;
  for (const ChatPiece& piece : render_chat(chat, messages, true)) {
    const size_t mark = behind || piece.is_special ? std::string::npos : piece.text.find(kMark);
    if (mark == std::string::npos) {
      (behind ? after : before).push_back(piece);
      continue;
    }
    behind = true;
    if (mark > 0) before.push_back({piece.text.substr(0, mark)});
    if (mark + 1 < piece.text.size()) after.push_back({piece.text.substr(mark + 1)});
  }
  CHECK(behind, kFailure, "chat template {}: the user's message is not rendered", chat.name);
  return {encode_chat(tokenizer, before), encode_chat(tokenizer, after)};
}

}  // namespace etrlrec
