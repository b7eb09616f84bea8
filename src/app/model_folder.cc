#include "app/model_folder.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "app/command_line.h"
#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "text/chat.h"

namespace etrlrec {
namespace {

constexpr const char* kTokenizerFiles[] = {
    "tokenizer.json",  "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "tokenizer.model", "spiece.model",          "chat_template.jinja"};

// The template of the folder's own files must still be the one the model was trained with, and be
// rendered as then.
void check_chat_template(const fs::path& folder, const std::string& trained,
                         const std::string& hash) {
  const auto& names = chat_template_names();
  CHECK(std::find(names.begin(), names.end(), trained) != names.end(), kModel,
        "{}: chat_template \"{}\" is not known; known: {}", (folder / "etrlrec.json").string(),
        trained, fmt::join(names, ", "));
  const std::string found = known_chat_template(folder);
  CHECK(found == trained, kModel, "{}: trained with chat template {}, its tokenizer files have {}",
        folder.string(), trained, found.empty() ? "another one" : found);
  CHECK(chat_template_hash(chat_template_by_name(trained)) == hash, kModel,
        "{}: this version renders chat template {} in another way than the one that trained it",
        folder.string(), trained);
}

ModelCard read_card(const fs::path& path) {
  const Json json = read_json(path);
  const std::string name = path.string();
  ModelCard card;
  card.stage = get<std::string>(json, "stage", name);
  card.catalogue_hash = get<std::string>(json, "catalogue_hash", name);
  card.prompt.max_history = get<int32_t>(json, "max_history", name);
  card.prompt.with_times = get<bool>(json, "with_times", name);
  card.prompt.reasoning = get<bool>(json, "reasoning", name);
  card.max_reasoning_tokens = get<int64_t>(json, "max_reasoning_tokens", name);
  card.parent = get_or<std::string>(json, "parent", "", name);
  card.chat_template = get_or<std::string>(json, "chat_template", "", name);
  if (!card.chat_template.empty())
    check_chat_template(path.parent_path(), card.chat_template,
                        get<std::string>(json, "chat_template_hash", name));
  return card;
}

OrderedJson to_json(const ModelCard& card) {
  OrderedJson json{{"schema_version", 1},
                   {"stage", card.stage},
                   {"catalogue_hash", card.catalogue_hash},
                   {"max_history", card.prompt.max_history},
                   {"with_times", card.prompt.with_times},
                   {"reasoning", card.prompt.reasoning},
                   {"max_reasoning_tokens", card.max_reasoning_tokens},
                   {"parent", card.parent}};
  if (!card.chat_template.empty()) {
    json["chat_template"] = card.chat_template;
    json["chat_template_hash"] = chat_template_hash(chat_template_by_name(card.chat_template));
  }
  return json;
}

}  // namespace

void add_dtype(Command& command, std::string& dtype) {
  command
      .add_option("--dtype", dtype,
                  "weights in memory; bfloat16 and int8 are frozen: to train, add an adapter")
      .one_of({"float32", "bfloat16", "int8"});
}

LoadedModel open_model_folder(const fs::path& folder, const std::string& catalogue_hash,
                              const std::string& dtype) {
  CHECK(fs::exists(folder / "config.json"), kInput,
        "{}: no config.json: not a model folder\nhint: etrlrec new-lm --help", folder.string());
  LoadedModel loaded;
  loaded.storage = parse_storage(dtype);
  if (fs::exists(folder / "etrlrec.json")) loaded.card = read_card(folder / "etrlrec.json");
  CHECK(catalogue_hash.empty() || loaded.card.catalogue_hash.empty() ||
            loaded.card.catalogue_hash == catalogue_hash,
        kModel, "{}: trained on another item table (its hash begins {}, the data set's {})",
        folder.string(), loaded.card.catalogue_hash.substr(0, 12), catalogue_hash.substr(0, 12));
  loaded.tokenizer = load_tokenizer(folder);
  loaded.config = read_llm_config(folder);
  CHECK(loaded.tokenizer->vocab_size() <= loaded.config.vocab_size, kModel,
        "{}: tokenizer has {} tokens, the model only {}", folder.string(),
        loaded.tokenizer->vocab_size(), loaded.config.vocab_size);
  return loaded;
}

LoadedModel load_model_folder(const fs::path& folder, const std::string& catalogue_hash) {
  LoadedModel loaded = open_model_folder(folder, catalogue_hash);
  loaded.llm = load_llm(folder, loaded.storage);
  return loaded;
}

void save_model_folder(const Llm& llm, const fs::path& tokenizer_source, const ModelCard& card,
                       const fs::path& folder, bool replace) {
  FolderWriter writer(folder, replace);
  save_llm(llm, writer.path());
  for (const char* name : kTokenizerFiles) {
    if (fs::exists(tokenizer_source / name))
      fs::copy_file(tokenizer_source / name, writer.path() / name);
  }
  ModelCard written = card;
  written.chat_template = known_chat_template(tokenizer_source);
  write_json_atomic(writer.path() / "etrlrec.json", to_json(written));
  writer.commit();
}

}  // namespace etrlrec
