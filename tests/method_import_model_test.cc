// GGUF in and out as whole folders: import, export, import of the export, and a real trained model.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "golden_path.h"
#include "method/export_gguf.h"
#include "method/import_model.h"
#include "method/model_folder.h"
#include "method/text_generation.h"
#include "models_fixture.h"
#include "nn/safetensors.h"
#include "refusals.h"
#include "shared_models.h"
#include "text/begin_tokens.h"
#include "text/bpe_train.h"
#include "text/chat_recognition.h"
#include "text/tokenizer_folder.h"

namespace etrlrec {
namespace {

class ImportModel : public testing::Test {
 protected:
  void SetUp() override {
    set_log_options({.quiet = true, .progress = false});
    fs::remove_all(root_);
    fs::create_directories(root_);
  }
  void TearDown() override { set_log_options({}); }

  std::string path(const char* name) const { return (root_ / name).string(); }
  ImportResult import_into(const char* name, const fs::path& file) const {
    return import_model({file.string(), path(name), "float32"});
  }
  // Exports the folder `from`, imports the file as `to`; ids and end tokens stay the same.
  void expect_round_trip(const char* from, const char* to, const std::string& type) {
    const std::string file = path(to) + ".gguf";
    export_gguf({path(from), file, type});
    import_into(to, file);
    const auto before = load_tokenizer(path(from)), after = load_tokenizer(path(to));
    for (const std::string text : {"kalo miren 1234 don't", "  two  spaces\n\ttab ",
                                   "caf\u00e9 \u6c34", "\u2581x <unk> <0x41>", "\U0001f600"})
      EXPECT_EQ(after->encode(text), before->encode(text)) << text;
    EXPECT_EQ(begin_tokens(path(to), *after), begin_tokens(path(from), *before));
    EXPECT_EQ(after->eos_id(), before->eos_id());
    const auto chat = folder_chat_template(path(to), *after),
               source = folder_chat_template(path(from), *before);
    ASSERT_EQ(chat.has_value(), source.has_value());
    if (chat) {
      EXPECT_EQ(chat_template_hash(*chat), chat_template_hash(*source));
    }
    EXPECT_EQ(read_llm_config(path(to)).eos_token_ids, read_llm_config(path(from)).eos_token_ids);
  }
  // Quick and slow tests run at the same time.
  const fs::path root_ = fs::path(testing::TempDir()) / fmt::format("import-model-{}", getpid());
  const fs::path gguf_ = golden_path() / "gguf" / "llama-tied.gguf";
};

TEST_F(ImportModel, makes_a_folder_that_commands_open) {
  const ImportResult result = import_into("tied", gguf_);
  EXPECT_EQ(result.model_type, "llama");
  EXPECT_EQ(result.tokens, 150);
  EXPECT_EQ(result.chat_template, "chatml");
  const LoadedModel model = load_model_folder(path("tied"), "");
  EXPECT_EQ(model.model->type(), "llama");
  EXPECT_EQ(model.model->eos_ids(), (std::vector<int64_t>{0}));
  const ParameterMap found = load_safetensors(root_ / "tied/model.safetensors"),
                     expected =
                         load_safetensors(golden_path() / "decoders/llama-tied/model.safetensors");
  int64_t parameters = 0;
  for (const auto& [name, tensor] : expected) {
    EXPECT_TRUE(at::equal(found.at(name), tensor)) << name;
    parameters += tensor.numel();
  }
  EXPECT_EQ(result.parameters, parameters);
}

TEST_F(ImportModel, writes_bfloat16_unless_told_otherwise) {
  import_model({gguf_.string(), path("narrow")});
  for (const auto& [name, tensor] : load_safetensors(root_ / "narrow/model.safetensors"))
    EXPECT_EQ(tensor.scalar_type(), at::kBFloat16) << name;
  EXPECT_EQ(read_json(root_ / "narrow/config.json").at("torch_dtype"), "bfloat16");
}

TEST_F(ImportModel, refuses_and_leaves_nothing_behind) {
  fs::create_directories(root_ / "full/sub");
  refuses([&] { import_into("full", gguf_); }, ExitCode::kUsage, "exists already");
  refuses([&] { import_model({gguf_.string(), path("x"), "int8"}); }, ExitCode::kUsage, "--dtype");
  std::string bytes = read_file(gguf_);
  bytes.resize(bytes.size() / 2);
  write_file_atomic(root_ / "half.gguf", bytes);
  refuses([&] { import_into("x", root_ / "half.gguf"); }, ExitCode::kInput, "truncated");
  for (const auto& entry : fs::directory_iterator(root_))
    EXPECT_TRUE(entry.path().filename() == "full" || entry.path().filename() == "half.gguf")
        << entry.path();
}

TEST_F(ImportModel, an_exported_folder_is_imported_as_it_was) {
  import_into("first", gguf_);
  expect_round_trip("first", "second", "f32");
  EXPECT_EQ(read_file(root_ / "first/model.safetensors"),
            read_file(root_ / "second/model.safetensors"));
  EXPECT_EQ(read_file(root_ / "first/tokenizer.json"), read_file(root_ / "second/tokenizer.json"));
  EXPECT_EQ(read_file(root_ / "first/tokenizer_config.json"),
            read_file(root_ / "second/tokenizer_config.json"));
  for (const char* type : {"f16", "bf16", "q8_0"}) expect_round_trip("first", type, type);
}

TEST_F(ImportModel, a_llama2_tokenizer_goes_there_and_back) {
  const fs::path file = kModels + "llama2-tiny-random-gguf/llama-2-tiny-random.gguf";
  if (!fs::exists(file)) GTEST_SKIP() << "no models at " << kModels;
  import_into("first", file);
  expect_round_trip("first", "second", "f16");
  EXPECT_EQ(read_file(root_ / "first/tokenizer.json"), read_file(root_ / "second/tokenizer.json"));
}

TEST_F(ImportModel, a_qwen3_tokenizer_goes_there_and_back) {
  if (!fs::exists(kModels)) GTEST_SKIP() << "no models at " << kModels;
  LlmConfig config = small_config();
  config.vocab_size = 151936;
  config.hidden_size = config.intermediate_size = 8;
  config.num_hidden_layers = config.num_attention_heads = config.num_key_value_heads = 1;
  config.head_dim = 8;
  config.eos_token_ids = {151645, 151643};
  const auto model = new_decoder(config, 1);
  model->save(path("first"));
  for (const char* file : {"tokenizer", "tokenizer_config"})
    fs::copy_file(fmt::format("{}qwen-tokenizer/{}.qwen3.json", kModels, file),
                  fmt::format("{}/{}.json", path("first"), file));
  expect_round_trip("first", "second", "q8_0");
}

TEST_F(ImportModel, export_refuses_what_gguf_cannot_say) {
  import_into("tied", gguf_);
  const auto refused = [&](const char* folder, const std::string& type, ExitCode code,
                           const std::string& words) {
    refuses([&] { export_gguf({path(folder), path("out.gguf"), type}); }, code, words);
    EXPECT_FALSE(fs::exists(path("out.gguf")));
  };
  refused("tied", "q4_0", ExitCode::kUsage, "--type");
  refused("nothing", "f16", ExitCode::kInput, "expected a model folder");
  write_file_atomic(path("there.gguf"), "x");
  refuses(
      [&] {
        export_gguf({path("tied"), path("there.gguf"), "f16"});
      },
      ExitCode::kUsage, "exists already");
  const auto change = [&](const char* pointer, const Json& value) {
    fs::remove_all(path("changed"));
    fs::copy(path("tied"), path("changed"));
    Json root = read_json(path("changed") + "/tokenizer.json");
    root[Json::json_pointer(pointer)] = value;
    write_file_atomic(path("changed") + "/tokenizer.json", root.dump());
  };
  change("/normalizer", {{"type", "NFC"}});
  refused("changed", "f16", ExitCode::kModel, "no name for this pre-tokenizer");
  change("/model/ignore_merges", true);
  refused("changed", "f16", ExitCode::kModel, "no name for this pre-tokenizer");
  change("/added_tokens/3", {{"id", 170}, {"content", "<x>"}, {"special", true}});
  refused("changed", "f16", ExitCode::kModel, "token 170 for an embedding of 160 rows");
  fs::remove(path("changed") + "/tokenizer.json");
  refused("changed", "f16", ExitCode::kModel, "tokenizer.json: is missing");
  fs::remove_all(path("changed"));
  fs::copy(path("tied"), path("changed"));
  Json config = read_json(path("changed") + "/config.json");
  config["eos_token_id"] = {1, 2, 3};
  write_file_atomic(path("changed") + "/config.json", config.dump());
  refused("changed", "f16", ExitCode::kModel, "three end tokens, found 4");
  config["eos_token_id"] = 0;
  config["hidden_size"] = 96;
  write_file_atomic(path("changed") + "/config.json", config.dump());
  refused("changed", "f16", ExitCode::kModel, "expected one of shape");
}

// Files of ./run get smollm2.
TEST_F(ImportModel, smollm2_knows_the_capital_of_france) {
  const fs::path folder = fs::path(ETRLREC_SOURCE_DIR) / ".cache/models/smollm2";
  if (!fs::exists(folder)) GTEST_SKIP() << "no model: ./run get smollm2 fetches it";
  TextGenerationOptions options;
  options.model = folder.string();
  options.dtype = "bfloat16";
  options.max_new_tokens = 8;
  options.sampling.temperature = 0;
  TextGenerator raw(options);
  raw.load();
  EXPECT_TRUE(raw.run(raw.encode("The capital of France is")).front().text.starts_with(" Paris."));
  options.chat = true;
  TextGenerator chat(options);
  chat.load();
  const std::vector<ChatMessage> question{{"user", "What is the capital of France?"}};
  EXPECT_EQ(chat.run(chat.encode(question)).front().text, "The capital of France is Paris.");
  const auto tokenizer = load_tokenizer(folder);
  EXPECT_EQ(tokenizer->encode("Area 51"), (std::vector<int64_t>{25084, 216, 37, 33}));
  EXPECT_TRUE(tokenizer->encode("\x04").empty());  // one of the bytes without a token
}

}  // namespace
}  // namespace etrlrec
