// The named soft prompts of one model, PEFT's first one being "default". Each has rows of its own,
// the parameter "prompt_embeddings" (default) or "prompt_embeddings.NAME"; their virtual tokens
// follow the vocabulary in the order in which the prompts came.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "nn/parameters.h"
#include "tuning/prompt_tuning.h"

namespace etrlrec {

class PromptSet {
 public:
  // `parameters` outlive the set.
  explicit PromptSet(ParameterMap& parameters) : parameters_(parameters) {}
  PromptSet(const PromptSet&) = delete;

  // Freezes every parameter, those of adapters and other prompts included, and adds a trainable
  // prompt. embed_tokens [V, C] of any storage type. Errors (kUsage): a name that is taken; those
  // of check_name and of new_prompt.
  void attach(const at::Tensor& embed_tokens, const PromptTuningConfig& config, uint64_t seed,
              const std::string& name = "default");
  // The same with the rows of a PEFT folder (read_prompt).
  void load(const at::Tensor& embed_tokens, const std::filesystem::path& folder,
            const std::string& name = "default");
  // Writes one prompt as a PEFT folder (write_prompt).
  void save(const std::string& name, const std::string& base_model,
            const std::filesystem::path& folder, const std::string& task_type) const;
  // Error (kUsage): a name that is not made of letters, digits, "_" and "-".
  static void check_name(const std::string& name);
  // Whether training changes the prompt.
  void set_trainable(const std::string& name, bool trainable);

  bool empty() const { return prompts_.empty(); }
  std::vector<std::string> names() const;  // in the order of their ids
  const PromptTuningConfig& config(const std::string& name) const;
  const at::Tensor& rows(const std::string& name) const;  // [rows, C]
  int64_t num_rows() const;                               // of all prompts
  // Ids of the virtual tokens of one prompt, or of all prompts in order.
  std::vector<int64_t> ids(int64_t vocab_size, const std::string& name) const;
  std::vector<int64_t> ids(int64_t vocab_size) const;
  // Rows of all prompts, row k for id V + k, [num_rows, C]; undefined without prompts.
  at::Tensor table() const;

 private:
  struct Prompt {
    std::string name;
    PromptTuningConfig config;
  };
  void check_new(const std::string& name) const;
  void add(const std::string& name, const PromptTuningConfig& config, const at::Tensor& rows);
  const Prompt& find(const std::string& name) const;  // error (kUsage) names the known ones

  ParameterMap& parameters_;
  std::vector<Prompt> prompts_;
};

}  // namespace etrlrec
