#include "tuning/prompt_set.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/check.h"

namespace etrlrec {

std::vector<std::string> PromptSet::names() const {
  std::vector<std::string> names;
  for (const Prompt& prompt : prompts_) names.push_back(prompt.name);
  return names;
}

const PromptSet::Prompt& PromptSet::find(const std::string& name) const {
  const auto found = std::find_if(prompts_.begin(), prompts_.end(),
                                  [&](const Prompt& prompt) { return prompt.name == name; });
  CHECK(found != prompts_.end(), kUsage, "soft prompt: none is named \"{}\"; known: {}", name,
        fmt::join(names(), ", "));
  return *found;
}

void PromptSet::check_name(const std::string& name) {
  const bool plain = std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '-';
  });
  CHECK(plain && !name.empty(), kUsage,
        "soft prompt: expected a name of letters, digits, \"_\" and \"-\", found \"{}\"\n"
        "hint: a second prompt is called by its folder; rename the folder",
        name);
}

void PromptSet::check_new(const std::string& name) const {
  check_name(name);
  const auto taken = names();
  CHECK(std::find(taken.begin(), taken.end(), name) == taken.end(), kUsage,
        "soft prompt: the model has one named \"{}\" already", name);
}

void PromptSet::add(const std::string& name, const PromptTuningConfig& config,
                    const at::Tensor& rows) {
  for (auto& [key, tensor] : parameters_) tensor.requires_grad_(false);
  parameters_[prompt_parameter(name)] = at::Tensor(rows).requires_grad_(true);
  prompts_.push_back({name, config});
}

void PromptSet::attach(const at::Tensor& embed_tokens, const PromptTuningConfig& config,
                       uint64_t seed, const std::string& name) {
  check_new(name);
  add(name, config, new_prompt(embed_tokens, config, seed, name));
}

void PromptSet::load(const at::Tensor& embed_tokens, const std::filesystem::path& folder,
                     const std::string& name) {
  check_new(name);
  const SavedPrompt saved = read_prompt(folder, embed_tokens.size(1));
  add(name, saved.config, saved.rows);
}

void PromptSet::save(const std::string& name, const std::string& base_model,
                     const std::filesystem::path& folder, const std::string& task_type) const {
  write_prompt({config(name), rows(name)}, base_model, folder, task_type);
}

void PromptSet::set_trainable(const std::string& name, bool trainable) {
  parameters_.at(prompt_parameter(find(name).name)).requires_grad_(trainable);
}

const PromptTuningConfig& PromptSet::config(const std::string& name) const {
  return find(name).config;
}

const at::Tensor& PromptSet::rows(const std::string& name) const {
  return parameters_.at(prompt_parameter(find(name).name));
}

int64_t PromptSet::num_rows() const {
  int64_t count = 0;
  for (const Prompt& prompt : prompts_) count += prompt.config.num_rows();
  return count;
}

std::vector<int64_t> PromptSet::ids(int64_t vocab_size, const std::string& name) const {
  int64_t first = vocab_size;
  for (const Prompt& prompt : prompts_) {
    if (prompt.name == name) break;
    first += prompt.config.num_rows();
  }
  return virtual_token_ids(first, find(name).config);
}

std::vector<int64_t> PromptSet::ids(int64_t vocab_size) const {
  std::vector<int64_t> all;
  for (const Prompt& prompt : prompts_) {
    const auto one = ids(vocab_size, prompt.name);
    all.insert(all.end(), one.begin(), one.end());
  }
  return all;
}

at::Tensor PromptSet::table() const {
  std::vector<at::Tensor> parts;
  for (const Prompt& prompt : prompts_) parts.push_back(rows(prompt.name));
  if (parts.empty()) return {};
  return parts.size() == 1 ? parts[0] : at::cat(parts, 0);
}

}  // namespace etrlrec
