#include "app/model_folder.h"

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"

namespace etrlrec {
namespace {

constexpr const char* kTokenizerFiles[] = {"tokenizer.json", "tokenizer_config.json",
                                           "special_tokens_map.json"};

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
  return card;
}

OrderedJson to_json(const ModelCard& card) {
  return {{"schema_version", 1},
          {"stage", card.stage},
          {"catalogue_hash", card.catalogue_hash},
          {"max_history", card.prompt.max_history},
          {"with_times", card.prompt.with_times},
          {"reasoning", card.prompt.reasoning},
          {"max_reasoning_tokens", card.max_reasoning_tokens},
          {"parent", card.parent}};
}

}  // namespace

LoadedModel load_model_folder(const fs::path& folder, const std::string& catalogue_hash) {
  CHECK(fs::exists(folder / "config.json"), kInput,
        "{}: no config.json: not a model folder\nhint: etrlrec new-lm --help", folder.string());
  LoadedModel loaded;
  if (fs::exists(folder / "etrlrec.json")) loaded.card = read_card(folder / "etrlrec.json");
  CHECK(catalogue_hash.empty() || loaded.card.catalogue_hash.empty() ||
            loaded.card.catalogue_hash == catalogue_hash,
        kModel, "{}: trained on another item table (its hash begins {}, the data set's {})",
        folder.string(), loaded.card.catalogue_hash.substr(0, 12), catalogue_hash.substr(0, 12));
  loaded.tokenizer = load_tokenizer(folder);
  loaded.llm = load_llm(folder);
  CHECK(loaded.tokenizer->vocab_size() <= loaded.llm->config().vocab_size, kModel,
        "{}: tokenizer has {} tokens, the model only {}", folder.string(),
        loaded.tokenizer->vocab_size(), loaded.llm->config().vocab_size);
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
  write_json_atomic(writer.path() / "etrlrec.json", to_json(card));
  writer.commit();
}

}  // namespace etrlrec
