// Model folders: the chat template and its hash travel with a checkpoint and are checked.
#include <gtest/gtest.h>

#include <functional>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "method/model_folder.h"
#include "method/prompt_adapter.h"
#include "models/model_adapters.h"
#include "models_fixture.h"
#include "text/bpe_train.h"
#include "text/chat_recognition.h"
#include "text/tokenizer_folder.h"

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
    model_ = new_decoder(config, 1);
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
  std::unique_ptr<LanguageModel> model_;
};

TEST_F(ModelFolder, keeps_the_chat_template_with_its_hash) {
  write_file_atomic(root_ / "base/chat_template.jinja", kChatml);
  save();
  // The tokenizer has no <|im_start|>: the text is ChatML, its pieces are not.
  const auto chat = folder_chat_template(root_ / "base", *load_tokenizer(root_ / "base"));
  ASSERT_TRUE(chat);
  EXPECT_EQ(card()["chat_template"], "jinja");
  EXPECT_EQ(card()["chat_template_hash"], chat_template_hash(*chat));
  EXPECT_NE(chat_template_hash(*chat), chat_template_hash(chat_template_by_name("chatml")));
  EXPECT_EQ(load_model_folder(root_ / "saved", "").card.chat_template, "jinja");
}

TEST_F(ModelFolder, has_no_template_where_the_tokenizer_has_none_or_a_broken_one) {
  save();
  EXPECT_FALSE(card().contains("chat_template"));
  EXPECT_EQ(load_model_folder(root_ / "saved", "").card.chat_template, "");
  write_file_atomic(root_ / "base/chat_template.jinja", "{{ messages");
  save();
  EXPECT_FALSE(card().contains("chat_template"));
}

TEST_F(ModelFolder, keeps_a_template_of_its_own_by_its_text) {
  std::string text = kChatml;
  write_file_atomic(root_ / "base/chat_template.jinja", text + "{{ 'Answer: ' }}");
  save();
  EXPECT_EQ(card()["chat_template"], "jinja");
  EXPECT_EQ(load_model_folder(root_ / "saved", "").chat->name, "jinja");
  write_file_atomic(root_ / "saved/chat_template.jinja", text + "{{ 'Reply: ' }}");
  try {
    load_model_folder(root_ / "saved", "");
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("in another way"), std::string::npos) << error.what();
  }
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
  EXPECT_NE(refusal([&] {
              write_file_atomic(root_ / "saved/chat_template.jinja", "{{ messages }}");
            }).find("in another way"),
            std::string::npos);
}

TEST_F(ModelFolder, with_a_prompt_keeps_the_weights_of_its_parent) {
  model_->save(root_ / "base");
  attach_prompt(*model_, {3}, 1);
  ModelCard made;
  made.soft_prompts = {{"default", 3}};
  save_model_folder(*model_, root_ / "base", made, root_ / "saved", true);
  save_prompt(*model_, "default", "base", root_ / "saved/adapter");
  for (const char* name : {"model.safetensors", "config.json", "tokenizer.json"})
    EXPECT_EQ(read_file(root_ / "base" / name), read_file(root_ / "saved" / name)) << name;
  EXPECT_EQ(prompts_of_folder(root_ / "saved").at(0).folder, root_ / "saved/adapter");
  EXPECT_TRUE(prompts_of_folder(root_ / "base").empty());
  const LoadedModel loaded = load_model_folder(root_ / "saved", "");
  EXPECT_EQ(loaded.virtual_tokens, (std::vector<int64_t>{300, 301, 302}));
  EXPECT_TRUE(at::equal(loaded.model->parameters().at("prompt_embeddings"),
                        model_->parameters().at("prompt_embeddings")));
  std::vector<int64_t> ids{300, 301, 302};
  for (const int64_t id : loaded.tokenizer->encode("a text")) ids.push_back(id);
  EXPECT_EQ(loaded.encode("a text"), ids);
  Json other = card();
  other["soft_prompts"][0]["num_virtual_tokens"] = 4;
  write_file_atomic(root_ / "saved/etrlrec.json", other.dump());
  EXPECT_THROW(load_model_folder(root_ / "saved", ""), Error);
}

// A soft prompt of a card without a list, as earlier versions wrote it, and a second one beside it.
TEST_F(ModelFolder, holds_several_soft_prompts_by_name) {
  model_->save(root_ / "base");
  attach_prompt(*model_, {3}, 1);
  attach_prompt(*model_, {2}, 1, "shop");
  EXPECT_THROW(attach_prompt(*model_, {2}, 1, "shop"), Error);
  ModelCard made;
  made.soft_prompts = {{"default", 3}, {"shop", 2}};
  save_model_folder(*model_, root_ / "base", made, root_ / "saved", true);
  for (const SoftPrompt& prompt : made.soft_prompts)
    save_prompt(*model_, prompt.name, "base", prompt_folder(root_ / "saved", prompt.name));
  EXPECT_EQ(card()["soft_prompts"].size(), 2u);
  const LoadedModel loaded = load_model_folder(root_ / "saved", "");
  EXPECT_EQ(loaded.virtual_tokens, (std::vector<int64_t>{300, 301, 302, 303, 304}));
  EXPECT_EQ(loaded.model->prompts().names(), (std::vector<std::string>{"default", "shop"}));
  EXPECT_TRUE(at::equal(loaded.model->prompts().rows("shop"), model_->prompts().rows("shop")));
  Json older = card();
  older.erase("soft_prompts");
  older["num_virtual_tokens"] = 3;
  write_file_atomic(root_ / "saved/etrlrec.json", older.dump());
  EXPECT_EQ(load_model_folder(root_ / "saved", "").virtual_tokens.size(), 3u);
}

TEST_F(ModelFolder, loads_adapters_and_prompts_together) {
  model_->save(root_ / "saved");
  for (const auto& entry : fs::directory_iterator(root_ / "base"))
    fs::copy(entry.path(), root_ / "saved" / entry.path().filename());
  model_->adapters().attach({2, 4, {"q_proj"}}, 1);
  save_adapter(*model_, "base", root_ / "lora");
  attach_prompt(*model_, {3}, 1);
  save_prompt(*model_, "default", "base", root_ / "first");
  save_prompt(*model_, "default", "base", root_ / "second");
  const auto name = [&](const char* folder) { return (root_ / folder).string(); };
  LoadedModel loaded = open_model_folder(root_ / "saved", "", "float32", {},
                                         {name("first"), name("lora"), name("second")});
  EXPECT_EQ(loaded.virtual_tokens.size(), 6u);
  load_weights_of(loaded);
  EXPECT_EQ(loaded.model->prompts().names(), (std::vector<std::string>{"default", "second"}));
  EXPECT_EQ(loaded.model->lora().r, 2);
  EXPECT_THROW(open_model_folder(root_ / "saved", "", "float32", {}, {name("lora"), name("lora")}),
               Error);
  // Refused before any weights are read.
  try {
    open_model_folder(root_ / "saved", "", "float32", {},
                      {name("first"), name("second"), name("second")});
    FAIL() << "expected an Error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kUsage);
    EXPECT_NE(std::string(error.what()).find("\"second\" is there already"), std::string::npos);
    EXPECT_NE(std::string(error.what()).find("rename the folder"), std::string::npos);
  }
}

TEST_F(ModelFolder, calls_a_second_prompt_by_its_folder_however_the_path_ends) {
  attach_prompt(*model_, {3}, 1);
  for (const char* folder : {"first", "second"})
    save_prompt(*model_, "default", "base", root_ / folder);
  for (const char* ending : {"", "/", "//", "/.", "/../second/"}) {
    const auto named = name_adapters({}, {root_ / "first/", (root_ / "second").string() + ending});
    EXPECT_EQ(named[0].name, "default");
    EXPECT_EQ(named[1].name, "second") << ending;
  }
  fs::copy(root_ / "first", root_ / "a.b");
  EXPECT_THROW(name_adapters({}, {root_ / "first", root_ / "a.b"}), Error);
}

TEST_F(ModelFolder, plans_a_prompt_for_training) {
  save();
  LoadedModel model = open_model_folder(root_ / "saved", "");
  EXPECT_EQ(plan_prompt(root_ / "saved", std::nullopt, model).name, "");
  EXPECT_TRUE(model.virtual_tokens.empty());
  const PromptTuningConfig text =
      plan_prompt(root_ / "saved", PromptTuningOptions{5, "text", "a text"}, model).config;
  EXPECT_EQ(text.prompt_tuning_init, "TEXT");
  EXPECT_EQ(text.init_ids, model.tokenizer->encode("a text"));
  EXPECT_EQ(model.virtual_tokens.size(), 5u);
  EXPECT_EQ(model.card.soft_prompts.size(), 1u);
  model.card.soft_prompts.clear();
  for (const PromptTuningOptions& wrong :
       {PromptTuningOptions{}, PromptTuningOptions{-1, "random", ""},
        PromptTuningOptions{5, "text", ""}, PromptTuningOptions{5, "random", "a text"}})
    EXPECT_THROW(plan_prompt(root_ / "saved", wrong, model), Error);
  // One that is there is trained further, alone and as it is.
  model.card.soft_prompts = {{"default", 5}};
  for (const int64_t tokens : {5, 0}) {
    const PromptPlan plan =
        plan_prompt(root_ / "saved", PromptTuningOptions{tokens, "random", ""}, model);
    EXPECT_EQ(plan.config.num_virtual_tokens, 0);
    EXPECT_EQ(plan.num_trained_tokens, 5);
  }
  EXPECT_THROW(plan_prompt(root_ / "saved", std::nullopt, model), Error);
  EXPECT_THROW(plan_prompt(root_ / "saved", PromptTuningOptions{6, "random", ""}, model), Error);
  EXPECT_THROW(plan_prompt(root_ / "saved", PromptTuningOptions{0, "text", "a text"}, model),
               Error);
  // Another one is added behind it.
  const size_t before = model.virtual_tokens.size();
  plan_prompt(root_ / "saved", PromptTuningOptions{2, "random", "", "shop"}, model);
  EXPECT_EQ(model.virtual_tokens.size(), before + 2);
  EXPECT_EQ(model.card.soft_prompts.back().name, "shop");
}

TEST_F(ModelFolder, opens_without_weights) {
  save();
  const LoadedModel opened = open_model_folder(root_ / "saved", "");
  EXPECT_TRUE(opened.model->head_weight().is_meta());
  EXPECT_EQ(opened.model->vocab_size(), 300);
  EXPECT_THROW(open_model_folder(root_ / "none", ""), Error);
}

}  // namespace
}  // namespace etrlrec
