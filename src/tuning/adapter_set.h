// The adapters of one model under names, PEFT's first one being "default". The tensors of the
// selected adapter stand in the model's parameter map, where the linear layers, optimisers and
// checkpoints find them; those of the others are kept aside.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "nn/parameters.h"
#include "tuning/adapters.h"

namespace etrlrec {

class AdapterSet {
 public:
  // `parameters` outlive the set.
  explicit AdapterSet(ParameterMap& parameters) : parameters_(parameters) {}
  AdapterSet(const AdapterSet&) = delete;

  // attach_lora and load_lora under a new name, which becomes the selected one. Error (kUsage) when
  // the name is taken.
  void attach(const LoraConfig& config, uint64_t seed, const std::string& name = "default");
  void load(const std::filesystem::path& folder, const std::string& name = "default");
  // Switches to another adapter, "" to none. Error (kUsage) names the known ones.
  void select(const std::string& name);
  const std::string& selected() const { return selected_; }  // "": none
  std::vector<std::string> names() const;
  // With false the selected adapter stays where it is but is not used.
  void set_enabled(bool enabled) { enabled_ = enabled; }
  bool is_enabled() const { return enabled_; }
  // Whether training changes the selected adapter; it does when it has just come.
  void set_trainable(bool trainable);

  const LoraConfig& config() const;  // of the selected one; r == 0 without
  AdapterPass pass(const TrainingNoise& noise = {}) const;
  // Ranks that training has found, to be saved with the selected adapter.
  void set_rank_pattern(RankPattern pattern);

  // merge_lora of the selected adapter, which must be the only one (kUsage).
  void merge();
  // The same, compared: `logits` is evaluated with the adapter beside weights in fp32, and again
  // after merging, so that only the merge is judged, not how stored weights are computed with.
  // Returns the largest absolute difference; above 1e-3 of the largest logit, or when a value is
  // not finite, the merged weights are not to be used: error (kNumbers).
  double merge_verified(const std::function<at::Tensor()>& logits);

 private:
  struct Adapter {
    LoraConfig config;
    ParameterMap tensors;  // empty while selected
  };
  template <typename Add>
  void add(const std::string& name, Add&& add_tensors);

  ParameterMap& parameters_;
  std::map<std::string, Adapter> adapters_;
  std::string selected_;
  bool enabled_ = true;
};

}  // namespace etrlrec
