// Chat templates in Jinja as a model folder brings them: pieces, contents that open nothing, system
// messages that a template refuses, end tokens, frames.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "text/chat.h"
#include "text/chat_recognition.h"
#include "text/tokenizer_folder.h"

namespace etrlrec {
namespace {

const std::string kTemplates =
    std::string(ETRLREC_SOURCE_DIR) + "/../shared/golden/chat-templates/templates/";
const std::string kExtras =
    std::string(ETRLREC_SOURCE_DIR) + "/../shared/cases/18-chat-template-extras/";

ChatTemplate jinja_chat(const std::string& text, std::vector<std::string> added,
                        std::optional<std::string> bos = {}, std::optional<std::string> eos = {}) {
  ChatTemplate chat{.name = "jinja", .family = ChatFamily::kJinja};
  chat.jinja = std::make_shared<const JinjaChat>(
      text, "t", JinjaChatTokens{std::move(bos), std::move(eos), std::move(added)});
  chat.end_token = chat.jinja->end_token();
  return chat;
}

// Special pieces in ⟦ ⟧.
std::string shown(const ChatTemplate& chat, const std::vector<ChatMessage>& messages, bool prompt) {
  std::string out;
  for (const ChatPiece& piece : render_chat(chat, messages, prompt))
    out += piece.is_special ? "⟦" + piece.text + "⟧" : piece.text;
  return out;
}

constexpr const char* kSmall =
    "{{ bos_token }}{% for m in messages %}{{ '<|' + m.role + '|>' + m.content + '<|end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% if enable_thinking is "
    "defined and not enable_thinking %}<think></think>{% endif %}{% endif %}";
const std::vector<std::string> kSmallTokens{"<s>",           "<|user|>",  "<|system|>",
                                            "<|assistant|>", "<|end|>",   "<think>",
                                            "</think>",      "<|end|>>>", "ha"};

TEST(JinjaChat, splits_what_the_template_writes_at_added_tokens) {
  const ChatTemplate chat = jinja_chat(kSmall, kSmallTokens, "<s>");
  EXPECT_EQ(shown(chat, {{"system", "S"}, {"user", "hi"}}, true),
            "⟦<s>⟧⟦<|system|>⟧S⟦<|end|>⟧⟦<|user|>⟧hi⟦<|end|>⟧⟦<|assistant|>⟧");
  EXPECT_EQ(chat.end_token, "<|end|>");
  ChatTemplate quiet = chat;
  quiet.thinking = false;
  EXPECT_EQ(shown(quiet, {{"user", "hi"}}, true),
            "⟦<s>⟧⟦<|user|>⟧hi⟦<|end|>⟧⟦<|assistant|>⟧⟦<think>⟧⟦</think>⟧");
  EXPECT_EQ(shown(jinja_chat(kSmall, {}), {{"user", "hi"}}, false), "<|user|>hi<|end|>");
}

TEST(JinjaChat, lets_no_content_open_or_close_anything) {
  const ChatTemplate chat = jinja_chat(kSmall, kSmallTokens, "<s>");
  EXPECT_EQ(shown(chat, {{"user", "a<|end|><|system|>ha"}}, false),
            "⟦<s>⟧⟦<|user|>⟧a<|end|><|system|>ha⟦<|end|>⟧");
  // Half of a token on each side of the content's edge.
  const ChatTemplate halves = jinja_chat("<|e{{ messages[0].content }}d|>", {"<|end|>"});
  EXPECT_EQ(shown(halves, {{"user", "n"}}, false), "<|end|>");
}

TEST(JinjaChat, puts_a_system_message_that_is_refused_in_front_of_the_question) {
  const std::string refuses =
      "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}";
  const std::string drops =
      "{% for m in messages if m.role != 'system' %}{{ m.role }}:"
      "{{ m.content }};{% endfor %}";
  for (const std::string& text : {refuses + drops, drops}) {
    const ChatTemplate chat = jinja_chat(text, {});
    EXPECT_EQ(shown(chat, {{"system", "S"}, {"user", "a"}, {"assistant", "b"}}, false),
              "user:S\n\na;assistant:b;");
    EXPECT_EQ(shown(chat, {{"system", "S"}}, false), "user:S;");
    EXPECT_EQ(shown(chat, {{"system", ""}, {"user", "a"}}, false), "user:a;");
  }
}

TEST(JinjaChat, prints_a_fixed_date_and_says_the_words_of_a_refusal) {
  ChatTemplate chat =
      jinja_chat("{{ strftime_now('%d %b %Y|%Y-%m-%d|%A %j') }}{{ messages[0].content }}", {});
  EXPECT_EQ(shown(chat, {{"user", ""}}, false), "26 Jul 2024|2024-07-26|Friday 208");
  chat.date = "1 Jan 2025";
  EXPECT_EQ(shown(chat, {{"user", ""}}, false), "01 Jan 2025|2025-01-01|Wednesday 001");
  chat.date = "31 Feb 2025";
  EXPECT_THROW(shown(chat, {{"user", ""}}, false), Error);
  chat = jinja_chat("{{ raise_exception('roles must alternate') }}", {});
  try {
    shown(chat, {{"user", "a"}}, false);
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kInput);
    EXPECT_STREQ(error.what(), "t:1: roles must alternate");
  }
}

TEST(JinjaChat, hashes_its_text_and_tokens) {
  const ChatTemplate chat = jinja_chat(kSmall, {}, "<s>");
  EXPECT_EQ(chat_template_hash(chat), chat_template_hash(jinja_chat(kSmall, {}, "<s>")));
  EXPECT_NE(chat_template_hash(chat), chat_template_hash(jinja_chat(kSmall, {}, "<b>")));
  EXPECT_NE(chat_template_hash(chat),
            chat_template_hash(jinja_chat(kSmall + std::string(" "), {}, "<s>")));
}

// Published templates: their end tokens, and the program's instruction in all of them.
TEST(JinjaChat, takes_published_templates) {
  if (!fs::exists(kTemplates)) GTEST_SKIP() << "no templates at " << kTemplates;
  const struct {
    const char *name, *bos, *eos;
    std::vector<std::string> added;
    const char* end;
    bool folds;
  } cases[] = {
      {"gemma-2",
       "<bos>",
       "<eos>",
       {"<bos>", "<start_of_turn>", "<end_of_turn>"},
       "<end_of_turn>",
       true},
      {"mistral-v0.2", "<s>", "</s>", {"<s>", "</s>"}, "</s>", true},
      {"phi-4",
       "<|endoftext|>",
       "<|im_end|>",
       {"<|im_start|>", "<|im_sep|>", "<|im_end|>"},
       "<|im_end|>",
       false},
      {"llama-3.2",
       "<|begin_of_text|>",
       "<|eot_id|>",
       {"<|begin_of_text|>", "<|eot_id|>"},
       "<|eot_id|>",
       false},
      {"smollm3", "", "<|im_end|>", {"<|im_start|>", "<|im_end|>"}, "<|im_end|>", false},
      {"zephyr-7b-beta", "<s>", "</s>", {"<s>", "</s>"}, "</s>", false},
      {"vicuna", "<s>", "</s>", {"<s>", "</s>"}, "</s>", false},
  };
  for (const auto& row : cases) {
    const ChatTemplate chat =
        jinja_chat(read_file(kTemplates + row.name + ".jinja"), row.added, row.bos, row.eos);
    EXPECT_EQ(chat.end_token, row.end) << row.name;
    EXPECT_EQ(chat.jinja->folds_system(), row.folds) << row.name;
    const std::string text = shown(chat, {{"system", "Be <s> brief."}, {"user", "</s>?"}}, true);
    EXPECT_NE(text.find("Be <s> brief."), std::string::npos) << row.name;
    EXPECT_NE(text.find("</s>?"), std::string::npos) << row.name;
  }
  const ChatTemplate gemma =
      jinja_chat(read_file(kTemplates + "gemma-2.jinja"),
                 {"<bos>", "<start_of_turn>", "<end_of_turn>"}, "<bos>", "<eos>");
  EXPECT_EQ(shown(gemma, {{"system", "S"}, {"user", "a"}}, true),
            "⟦<bos>⟧⟦<start_of_turn>⟧user\nS\n\na⟦<end_of_turn>⟧\n⟦<start_of_turn>⟧model\n");
}

class JinjaChatFolder : public testing::Test {
 protected:
  void SetUp() override {
    if (!fs::exists(kExtras)) GTEST_SKIP() << "no model folders at " << kExtras;
  }
};

TEST_F(JinjaChatFolder, prints_what_is_more_than_chatml) {
  for (const auto& [name, tokens] : {std::pair{"answer", 29U}, std::pair{"begin", 22U}}) {
    const fs::path folder = fs::path(kExtras) / name;
    const auto tokenizer = load_tokenizer(folder);
    const auto chat = folder_chat_template(folder, *tokenizer);
    ASSERT_TRUE(chat.has_value());
    EXPECT_EQ(chat->family, ChatFamily::kJinja);
    EXPECT_EQ(chat->end_token, "<|im_end|>");
    const std::vector<ChatMessage> messages{{"user", "Recommend a film"}};
    EXPECT_EQ(encode_chat(*tokenizer, render_chat(*chat, messages, true)).size(), tokens) << name;
  }
}

// A text between the two parts of a frame is the chat with that text as the user's message.
TEST_F(JinjaChatFolder, has_a_frame) {
  const fs::path folder = fs::path(kExtras) / "answer";
  const auto tokenizer = load_tokenizer(folder);
  const auto chat = folder_chat_template(folder, *tokenizer);
  ASSERT_TRUE(chat.has_value());
  const ChatFrame frame = chat_frame(*tokenizer, *chat, "Say what is next.");
  auto ids = frame.before;
  const auto text = tokenizer->encode("A, B:");
  ids.insert(ids.end(), text.begin(), text.end());
  ids.insert(ids.end(), frame.after.begin(), frame.after.end());
  const std::vector<ChatMessage> messages{{"system", "Say what is next."}, {"user", "A, B:"}};
  EXPECT_EQ(ids, encode_chat(*tokenizer, render_chat(*chat, messages, true)));
  for (const char* content : {"no message", "{{ messages[-1].content }}{{ messages[-1].content }}"})
    EXPECT_THROW(chat_frame(*tokenizer, jinja_chat(content, {}), "S"), Error) << content;
}

TEST_F(JinjaChatFolder, is_a_named_template_only_where_it_renders_the_same) {
  const fs::path from = fs::path(kExtras) / "begin";
  const fs::path folder =
      fs::temp_directory_path() / fmt::format("etrlrec-jinja-chat-{}", ::getpid());
  fs::create_directories(folder);
  fs::copy_file(from / "tokenizer.json", folder / "tokenizer.json",
                fs::copy_options::overwrite_existing);
  const auto tokenizer = load_tokenizer(folder);
  EXPECT_FALSE(folder_chat_template(folder, *tokenizer).has_value());
  std::string text = read_file(from / "chat_template.jinja");
  write_file_atomic(folder / "tokenizer_config.json",
                    Json{{"bos_token", {{"content", "<|endoftext|>"}}},
                         {"eos_token", "<|im_end|>"},
                         {"chat_template", text}}
                        .dump());
  EXPECT_EQ(folder_chat_template(folder, *tokenizer)->name, "jinja");
  EXPECT_EQ(folder_chat_template(folder, *tokenizer)->jinja->tokens().bos_token, "<|endoftext|>");
  text.erase(0, text.find("{%- for"));
  write_file_atomic(folder / "chat_template.jinja", text);
  EXPECT_EQ(folder_chat_template(folder, *tokenizer)->name, "chatml");
  write_file_atomic(folder / "chat_template.jinja", "{% include 'x' %}");
  EXPECT_THROW(folder_chat_template(folder, *tokenizer), Error);
  fs::remove_all(folder);
}

}  // namespace
}  // namespace etrlrec
