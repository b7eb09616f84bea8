#include "method/model_folder.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "models/llm_adapters.h"
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
  card.num_virtual_tokens = get_or<int64_t>(json, "num_virtual_tokens", 0, name);
  card.merged_dtype = get_or<std::string>(json, "merged_dtype", "", name);
  card.chat_template = get_or<std::string>(json, "chat_template", "", name);
  if (!card.chat_template.empty())
    check_chat_template(path.parent_path(), card.chat_template,
                        get<std::string>(json, "chat_template_hash", name));
  return card;
}

// Configuration and weights as they are.
void copy_weights(const fs::path& from, const fs::path& to) {
  for (const auto& entry : fs::directory_iterator(from)) {
    const fs::path name = entry.path().filename();
    if (name == "config.json" || name == "generation_config.json" ||
        name == "model.safetensors.index.json" || name.extension() == ".safetensors")
      fs::copy_file(entry.path(), to / name);
  }
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
  if (card.num_virtual_tokens > 0) json["num_virtual_tokens"] = card.num_virtual_tokens;
  if (!card.merged_dtype.empty()) json["merged_dtype"] = card.merged_dtype;
  if (!card.chat_template.empty()) {
    json["chat_template"] = card.chat_template;
    json["chat_template_hash"] = chat_template_hash(chat_template_by_name(card.chat_template));
  }
  return json;
}

}  // namespace

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
  loaded.virtual_tokens =
      virtual_token_ids(loaded.config.vocab_size, {loaded.card.num_virtual_tokens});
  return loaded;
}

std::vector<int64_t> LoadedModel::encode(const std::string& text) const {
  std::vector<int64_t> ids = virtual_tokens;
  const auto rest = tokenizer->encode(text);
  ids.insert(ids.end(), rest.begin(), rest.end());
  return ids;
}

fs::path prompt_folder(const fs::path& folder) {
  const fs::path card = folder / "etrlrec.json";
  if (!fs::exists(card)) return {};
  const bool has_prompt =
      get_or<int64_t>(read_json(card), "num_virtual_tokens", 0, card.string()) > 0;
  return has_prompt ? folder / "adapter" : fs::path();
}

void load_weights_of(const fs::path& folder, LoadedModel& loaded) {
  loaded.llm = load_llm(folder, loaded.storage);
  if (loaded.card.num_virtual_tokens == 0) return;
  const LoadedAdapter adapter = load_adapter(*loaded.llm, folder / "adapter");
  CHECK(adapter.prompt.num_virtual_tokens == loaded.card.num_virtual_tokens, kModel,
        "{}: expected a prompt of {} virtual tokens, found {} ({})", (folder / "adapter").string(),
        loaded.card.num_virtual_tokens, adapter.prompt.num_virtual_tokens, adapter.peft_type);
}

LoadedModel load_model_folder(const fs::path& folder, const std::string& catalogue_hash) {
  LoadedModel loaded = open_model_folder(folder, catalogue_hash);
  load_weights_of(folder, loaded);
  return loaded;
}

void save_model_folder(const Llm& llm, const fs::path& parent, const ModelCard& card,
                       const fs::path& folder, bool replace) {
  FolderWriter writer(folder, replace);
  if (card.num_virtual_tokens > 0) {
    copy_weights(parent, writer.path());
  } else {
    save_llm(llm, writer.path());
  }
  for (const char* name : kTokenizerFiles) {
    if (fs::exists(parent / name)) fs::copy_file(parent / name, writer.path() / name);
  }
  ModelCard written = card;
  written.chat_template = known_chat_template(parent);
  write_json_atomic(writer.path() / "etrlrec.json", to_json(written));
  writer.commit();
}

}  // namespace etrlrec
