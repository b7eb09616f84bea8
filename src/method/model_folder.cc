#include "method/model_folder.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "models/model_adapters.h"
#include "models/model_files.h"
#include "models/weights.h"
#include "temporal/encoding.h"
#include "text/begin_tokens.h"
#include "text/chat.h"
#include "text/chat_recognition.h"
#include "text/tokenizer_folder.h"
#include "tuning/prompt_set.h"

namespace etrlrec {
namespace {

constexpr const char* kTokenizerFiles[] = {
    "tokenizer.json",  "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "tokenizer.model", "spiece.model",          "chat_template.jinja"};

// The template of the folder's own files must still be the one the model was trained with, and be
// rendered as then.
void check_chat_template(const LoadedModel& loaded) {
  const std::string& trained = loaded.card.chat_template;
  CHECK(loaded.chat && loaded.chat->name == trained, kModel,
        "{}: trained with chat template {}, its tokenizer files have {}", loaded.folder.string(),
        trained, loaded.chat ? loaded.chat->name : "none");
  CHECK(chat_template_hash(*loaded.chat) == loaded.card.chat_template_hash, kModel,
        "{}: this version renders chat template {} in another way than the one that trained it",
        loaded.folder.string(), trained);
}

// A template that cannot be read keeps nobody from using the model without chats.
std::optional<ChatTemplate> usable_chat_template(const fs::path& folder,
                                                 const Tokenizer& tokenizer) {
  try {
    return folder_chat_template(folder, tokenizer);
  } catch (const Error& error) {
    log_warning("{}\nthe model is used without its chat template", error.what());
    return std::nullopt;
  }
}

// Cards of version 1 without a list have one prompt, "default".
std::vector<SoftPrompt> read_soft_prompts(const Json& json, const std::string& name) {
  std::vector<SoftPrompt> prompts;
  if (json.contains("num_virtual_tokens"))
    prompts.push_back({"default", get<int64_t>(json, "num_virtual_tokens", name)});
  if (!json.contains("soft_prompts")) return prompts;
  for (const Json& entry : get<Json>(json, "soft_prompts", name))
    prompts.push_back(
        {get<std::string>(entry, "name", name), get<int64_t>(entry, "num_virtual_tokens", name)});
  return prompts;
}

ModelCard read_card(const fs::path& path) {
  const Json json = read_json(path);
  const std::string name = path.string();
  ModelCard card;
  card.stage = get<std::string>(json, "stage", name);
  card.catalogue_hash = get<std::string>(json, "catalogue_hash", name);
  card.prompt.max_history = get<int32_t>(json, "max_history", name);
  card.prompt.with_times = get<bool>(json, "with_times", name);
  card.prompt.with_attributes = get_or<bool>(json, "with_attributes", true, name);
  card.prompt.reasoning = get<bool>(json, "reasoning", name);
  card.prompt.style = get_or<std::string>(json, "style", card.prompt.style, name);
  find_style(card.prompt.style, name + ": style");
  card.prompt.answer = answer_kind(get_or<std::string>(json, "answer", "number", name));
  card.pattern = read_knowledge(json, name, card.prompt);
  card.max_reasoning_tokens = get<int64_t>(json, "max_reasoning_tokens", name);
  if (json.contains("distillation_rows")) {
    const Json rows = get<Json>(json, "distillation_rows", name);
    card.distillation_rows = {get<double>(rows, "share", name), get<uint64_t>(rows, "seed", name),
                              get<std::string>(rows, "candidates", name)};
  }
  if (json.contains("read_until")) card.read_until = get<int64_t>(json, "read_until", name);
  if (json.contains("new_items")) {
    const Json rate = get<Json>(json, "new_items", name);
    card.new_items = {get<double>(rate, "at_once", name), get<double>(rate, "per_day", name),
                      get<int64_t>(rate, "since", name), get<double>(rate, "most_days", name)};
    CHECK(card.new_items->at_once >= 0 && card.new_items->per_day >= 0, kInput,
          "{}: new_items: expected a share and a rate per day from 0, found {} and {}", name,
          card.new_items->at_once, card.new_items->per_day);
  }
  if (json.contains("trend")) {
    const Json trend = get<Json>(json, "trend", name);
    card.trend = {get<double>(trend, "half_life_days", name),
                  get<double>(trend, "pseudo_count", name), get_or<double>(trend, "power", 1, name),
                  get_or<double>(trend, "temperature", 1, name)};
    CHECK(card.trend->half_life_days > 0 && card.trend->pseudo_count > 0 && card.trend->power > 0 &&
              card.trend->temperature > 0,
          kInput, "{}: trend: expected numbers above 0, found {}", name, trend.dump());
  }
  card.temperature = get_or<double>(json, "temperature", 1, name);
  CHECK(card.temperature > 0 && std::isfinite(card.temperature), kInput,
        "{}: temperature: expected a positive number, found {}", name, card.temperature);
  card.parent = get_or<std::string>(json, "parent", "", name);
  card.soft_prompts = read_soft_prompts(json, name);
  card.merged_dtype = get_or<std::string>(json, "merged_dtype", "", name);
  card.chat_template = get_or<std::string>(json, "chat_template", "", name);
  if (!card.chat_template.empty())
    card.chat_template_hash = get<std::string>(json, "chat_template_hash", name);
  return card;
}

// Configuration and weights as they are; of two sets of weights the one that is read.
void copy_weights(const fs::path& from, const fs::path& to) {
  fs::copy_file(from / "config.json", to / "config.json");
  if (fs::exists(from / "generation_config.json"))
    fs::copy_file(from / "generation_config.json", to / "generation_config.json");
  for (const std::string& name : weight_files(from)) fs::copy_file(from / name, to / name);
}

OrderedJson to_json(const ModelCard& card) {
  OrderedJson json{{"schema_version", 1},
                   {"stage", card.stage},
                   {"catalogue_hash", card.catalogue_hash},
                   {"max_history", card.prompt.max_history},
                   {"with_times", card.prompt.with_times},
                   {"with_attributes", card.prompt.with_attributes},
                   {"reasoning", card.prompt.reasoning},
                   {"style", card.prompt.style},
                   {"answer", answer_kind_name(card.prompt.answer)},
                   {"max_reasoning_tokens", card.max_reasoning_tokens},
                   {"parent", card.parent}};
  write_knowledge(card.prompt, card.pattern, json);
  for (const SoftPrompt& prompt : card.soft_prompts)
    json["soft_prompts"].push_back(
        {{"name", prompt.name}, {"num_virtual_tokens", prompt.num_virtual_tokens}});
  if (card.distillation_rows)
    json["distillation_rows"] = {{"share", card.distillation_rows->share},
                                 {"seed", card.distillation_rows->seed},
                                 {"candidates", card.distillation_rows->candidates}};
  if (card.read_until) json["read_until"] = *card.read_until;
  if (card.new_items)
    json["new_items"] = {{"at_once", card.new_items->at_once},
                         {"per_day", card.new_items->per_day},
                         {"since", card.new_items->since},
                         {"most_days", card.new_items->most_days}};
  if (card.temperature != 1) json["temperature"] = card.temperature;
  if (card.trend) json["trend"] = to_json(*card.trend);
  if (!card.merged_dtype.empty()) json["merged_dtype"] = card.merged_dtype;
  if (!card.chat_template.empty()) {
    json["chat_template"] = card.chat_template;
    json["chat_template_hash"] = card.chat_template_hash;
  }
  return json;
}

// A published model has never seen a contract with numbers: it is asked for titles, as a chat where
// it knows how to chat.
PromptOptions prompt_without_card(bool has_chat) {
  PromptOptions prompt;
  prompt.answer = AnswerKind::kTitle;
  prompt.max_history = usual_history(prompt.answer);
  prompt.reasoning = false;
  if (has_chat) prompt.style = "natural";
  return prompt;
}

}  // namespace

void check_answers_by_title(const LoadedModel& model) {
  CHECK(!model.card.prompt.list_candidates, kUsage,
        "{}: chooses among the candidates that its prompt lists and cannot rank the whole catalogue"
        "\nhint: name candidates or a recommender, or construct without --list-candidates",
        model.folder.string());
  CHECK(model.card.prompt.answer == AnswerKind::kTitle, kUsage,
        "{}: answers by number among the candidates that its prompt lists and cannot rank the "
        "whole catalogue\nhint: etrlrec pretrain makes a model that answers by title, and so does "
        "distill on the reasoning of `construct --answer title`",
        model.folder.string());
}

ModelCard child_card(const LoadedModel& parent, const LoraConfig& lora, const std::string& dtype) {
  ModelCard card;
  card.parent = parent.folder.string();
  card.soft_prompts = parent.card.soft_prompts;
  card.read_until = parent.card.read_until;
  card.new_items = parent.card.new_items;
  card.merged_dtype = lora.r > 0 && dtype != "float32" ? dtype : parent.card.merged_dtype;
  return card;
}

fs::path prompt_folder(const fs::path& folder, const std::string& name) {
  return name == "default" ? folder / "adapter" : folder / "adapter" / name;
}

std::vector<NamedAdapter> prompts_of_folder(const fs::path& folder) {
  const fs::path card = folder / "etrlrec.json";
  std::vector<NamedAdapter> prompts;
  if (!fs::exists(card)) return prompts;
  for (const SoftPrompt& prompt : read_soft_prompts(read_json(card), card.string())) {
    const fs::path place = prompt_folder(folder, prompt.name);
    const PromptTuningConfig found = read_prompt_config(place);
    CHECK(found.num_virtual_tokens == prompt.num_virtual_tokens, kModel,
          "{}: expected a prompt of {} virtual tokens, found {}", place.string(),
          prompt.num_virtual_tokens, found.num_virtual_tokens);
    prompts.push_back({prompt.name, place, found});
  }
  return prompts;
}

std::vector<NamedAdapter> name_adapters(const std::vector<NamedAdapter>& present,
                                        const std::vector<std::string>& folders) {
  std::vector<NamedAdapter> all = present, added;
  for (const std::string& folder : folders) {
    NamedAdapter adapter{"default", fs::path(folder), read_prompt_config(folder)};
    const bool is_prompt = adapter.prompt.num_virtual_tokens > 0;
    const auto same_kind = [&](const NamedAdapter& other) {
      return (other.prompt.num_virtual_tokens > 0) == is_prompt;
    };
    const bool taken = std::any_of(all.begin(), all.end(), same_kind);
    CHECK(is_prompt || !taken, kUsage,
          "--adapter: expected one LoRA or AdaLoRA at most in addition to soft prompts, found "
          "another one in {}",
          folder);
    if (taken) {
      adapter.name = last_name(folder);
      if (is_prompt) PromptSet::check_name(adapter.name);
      CHECK(std::none_of(all.begin(), all.end(),
                         [&](const NamedAdapter& other) {
                           return same_kind(other) && other.name == adapter.name;
                         }),
            kUsage,
            "--adapter: {}: a soft prompt \"{}\" is there already\n"
            "hint: a second one is called by its folder; rename the folder",
            folder, adapter.name);
    }
    all.push_back(adapter);
    added.push_back(std::move(adapter));
  }
  return added;
}

LoadedModel open_model_folder(const fs::path& folder, const std::string& catalogue_hash,
                              const std::string& dtype, const Numerics& numerics,
                              const std::vector<std::string>& adapters) {
  CHECK(fs::exists(folder / "config.json"), kInput,
        "{}: no config.json: not a model folder\nhint: etrlrec new-lm --help", folder.string());
  LoadedModel loaded;
  loaded.folder = folder;
  loaded.storage = parse_storage(dtype);
  loaded.numerics = numerics;
  const bool has_card = fs::exists(folder / "etrlrec.json");
  if (has_card) loaded.card = read_card(folder / "etrlrec.json");
  CHECK(catalogue_hash.empty() || loaded.card.catalogue_hash.empty() ||
            loaded.card.catalogue_hash == catalogue_hash,
        kModel, "{}: trained on another item table (its hash begins {}, the data set's {})",
        folder.string(), loaded.card.catalogue_hash.substr(0, 12), catalogue_hash.substr(0, 12));
  loaded.tokenizer = load_tokenizer(folder);
  if (!has_card || !loaded.card.chat_template.empty())
    loaded.chat = usable_chat_template(folder, *loaded.tokenizer);
  if (!loaded.card.chat_template.empty()) check_chat_template(loaded);
  if (!has_card) loaded.card.prompt = prompt_without_card(loaded.chat.has_value());
  loaded.model = open_language_model(folder, loaded.storage, numerics);
  CHECK(loaded.tokenizer->vocab_size() <= loaded.model->vocab_size(), kModel,
        "{}: tokenizer has {} tokens, the model only {}", folder.string(),
        loaded.tokenizer->vocab_size(), loaded.model->vocab_size());
  if (loaded.model->has_encoder()) loaded.end_tokens = {loaded.tokenizer->eos_id()};
  loaded.adapters = prompts_of_folder(folder);
  for (NamedAdapter& adapter : name_adapters(loaded.adapters, adapters))
    loaded.adapters.push_back(std::move(adapter));
  int64_t next = loaded.model->vocab_size();
  for (const NamedAdapter& adapter : loaded.adapters) {
    const auto ids = virtual_token_ids(next, adapter.prompt);
    loaded.virtual_tokens.insert(loaded.virtual_tokens.end(), ids.begin(), ids.end());
    next += adapter.prompt.num_rows();
  }
  return loaded;
}

std::string last_name(const fs::path& folder) {
  const fs::path path = fs::absolute(folder).lexically_normal();
  return (path.has_filename() ? path : path.parent_path()).filename().string();
}

ChatFrame LoadedModel::frame(const PromptOptions& prompt) const {
  const std::string_view system = find_style(prompt.style).system;
  ChatFrame around;
  if (!system.empty() && chat) around = chat_frame(*tokenizer, *chat, system);
  around.before.insert(around.before.begin(), virtual_tokens.begin(), virtual_tokens.end());
  around.after.insert(around.after.end(), end_tokens.begin(), end_tokens.end());
  return around;
}

std::vector<int64_t> LoadedModel::encode(const std::string& text) const {
  const ChatFrame around = frame(card.prompt);
  return encode_between(*tokenizer, around.before, text, around.after);
}

std::vector<int64_t> LoadedModel::encode_raw(const std::string& text, bool parse_special) const {
  std::vector<int64_t> ids;
  if (!model->has_encoder()) ids = begin_tokens(folder, *tokenizer);
  const auto rest = tokenizer->encode_prompt(text, parse_special);
  ids.insert(ids.end(), rest.begin(), rest.end());
  CHECK(!ids.empty(), kUsage, "--prompt: expected a text, found none");
  ids.insert(ids.begin(), virtual_tokens.begin(), virtual_tokens.end());
  ids.insert(ids.end(), end_tokens.begin(), end_tokens.end());
  return ids;
}

void load_weights_of(LoadedModel& loaded) {
  loaded.model = load_language_model(loaded.folder, loaded.storage, loaded.numerics);
  for (const NamedAdapter& adapter : loaded.adapters)
    load_adapter(*loaded.model, adapter.folder, adapter.name);
}

LoadedModel load_model_folder(const fs::path& folder, const std::string& catalogue_hash,
                              const Numerics& numerics) {
  LoadedModel loaded = open_model_folder(folder, catalogue_hash, "float32", numerics);
  load_weights_of(loaded);
  return loaded;
}

void save_model_folder(const LanguageModel& model, const fs::path& parent, const ModelCard& card,
                       const fs::path& folder, bool replace, bool merged) {
  FolderWriter writer(folder, replace);
  if (!card.soft_prompts.empty() && !merged) {
    copy_weights(parent, writer.path());
  } else {
    model.save(writer.path());
  }
  for (const char* name : kTokenizerFiles) {
    if (fs::exists(parent / name)) fs::copy_file(parent / name, writer.path() / name);
  }
  ModelCard written = card;
  if (!chat_template_text(parent).empty()) {
    if (const auto chat = usable_chat_template(parent, *load_tokenizer(parent))) {
      written.chat_template = chat->name;
      written.chat_template_hash = chat_template_hash(*chat);
    }
  }
  write_json_atomic(writer.path() / "etrlrec.json", to_json(written));
  writer.commit();
}

}  // namespace etrlrec
