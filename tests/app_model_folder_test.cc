// Model folders: the chat template and its hash travel with a checkpoint and are checked.
#include <gtest/gtest.h>

#include <functional>

#include "app/model_folder.h"
#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "models_fixture.h"
#include "text/chat.h"

namespace etrlrec {
namespace {

constexpr const char* kChatml =
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
    "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' "
    "}}{% endif %}";

class ModelFolder : public testing::Test {
 protected:
  void SetUp() override {
    fs::remove_all(root_);
    fs::create_directories(root_ / "base");
    train_bpe(std::vector<std::string>{"a text of some words"}, {.vocab_size = 270},
              root_ / "base");
    LlmConfig config = small_config();
    config.vocab_size = 300;
    model_ = new_llm(config, 1);
  }
  void save() { save_model_folder(*model_, root_ / "base", {}, root_ / "saved", true); }
  Json card() const { return read_json(root_ / "saved/etrlrec.json"); }
  std::string refusal(const std::function<void()>& change) {
    save();
    change();
    try {
      load_model_folder(root_ / "saved", "");
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kModel);
      return error.what();
    }
    return "accepted";
  }

  const fs::path root_ = fs::path(testing::TempDir()) / "model-folder";
  std::unique_ptr<Llm> model_;
};

TEST_F(ModelFolder, keeps_the_chat_template_with_its_hash) {
  write_file_atomic(root_ / "base/chat_template.jinja", kChatml);
  save();
  EXPECT_EQ(card()["chat_template"], "chatml");
  EXPECT_EQ(card()["chat_template_hash"], chat_template_hash(chat_template_by_name("chatml")));
  EXPECT_EQ(load_model_folder(root_ / "saved", "").card.chat_template, "chatml");
}

TEST_F(ModelFolder, has_no_template_where_the_tokenizer_has_none_or_another_one) {
  save();
  EXPECT_FALSE(card().contains("chat_template"));
  EXPECT_EQ(load_model_folder(root_ / "saved", "").card.chat_template, "");
  write_file_atomic(root_ / "base/chat_template.jinja", "{{ messages }}");
  save();
  EXPECT_FALSE(card().contains("chat_template"));
}

TEST_F(ModelFolder, refuses_a_template_that_has_changed_since) {
  write_file_atomic(root_ / "base/chat_template.jinja", kChatml);
  const fs::path path = root_ / "saved/etrlrec.json";
  const auto change = [&](const char* key, const char* value) {
    Json json = card();
    json[key] = value;
    write_file_atomic(path, json.dump());
  };
  EXPECT_EQ(refusal([] {}), "accepted");
  EXPECT_NE(refusal([&] { change("chat_template_hash", "0"); }).find("in another way"),
            std::string::npos);
  EXPECT_NE(refusal([&] { change("chat_template", "llama3"); }).find("trained with"),
            std::string::npos);
  EXPECT_NE(refusal([&] { change("chat_template", "none"); }).find("known:"), std::string::npos);
  EXPECT_NE(refusal([&] {
              write_file_atomic(root_ / "saved/chat_template.jinja", "{{ messages }}");
            }).find("another one"),
            std::string::npos);
}

TEST_F(ModelFolder, opens_without_weights) {
  save();
  const LoadedModel opened = open_model_folder(root_ / "saved", "");
  EXPECT_EQ(opened.llm, nullptr);
  EXPECT_EQ(opened.config.vocab_size, 300);
  EXPECT_THROW(open_model_folder(root_ / "none", ""), Error);
}

}  // namespace
}  // namespace etrlrec
