// A model that writes texts, as `generate` sees it: a decoder or an encoder-decoder (T5) with its
// tokenizer, and what its texts begin and end with. Weights come later than everything else, so
// that an estimate needs none.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "method/memory_estimate.h"
#include "method/model_folder.h"
#include "models/t5.h"
#include "models/t5_generate.h"

namespace etrlrec {

class TextModel {
 public:
  // adapter: PEFT folder or "". Error (kUsage) for a dtype or an adapter that the model cannot
  // have.
  TextModel(const std::filesystem::path& folder, const std::string& dtype,
            const std::string& adapter);

  bool is_t5() const { return is_t5_; }
  const Tokenizer& tokenizer() const { return *loaded_.tokenizer; }
  const ModelCard& card() const { return loaded_.card; }
  const std::vector<int64_t>& eos_ids() const { return eos_ids_; }
  // Ids of a raw text: behind the begin tokens of a decoder; what T5's encoder reads ends in its
  // end token. Virtual tokens of a trained prompt come first.
  std::vector<int64_t> encode(const std::string& text) const;
  std::vector<int64_t> behind_virtual_tokens(const std::vector<int64_t>& ids) const;
  void add_to(const RolloutLoad& load, MemoryEstimate& estimate) const;

  void load();                     // the weights
  const StepModel& steps() const;  // after load

 private:
  std::filesystem::path folder_;
  std::string adapter_;
  bool is_t5_;
  LoadedModel loaded_;
  T5Config t5_config_;
  std::unique_ptr<T5> t5_;
  std::unique_ptr<T5Steps> t5_steps_;
  std::vector<int64_t> eos_ids_;
};

}  // namespace etrlrec
