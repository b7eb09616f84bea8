// A trained adapter for other programs: merged into its base model, or as a PEFT folder.
#pragma once

#include <string>

#include "nn/numerics.h"

namespace etrlrec {

struct ExportOptions {
  std::string what;        // merge: a complete model folder; peft: the adapter alone
  std::string model;       // folder of the base model
  std::string adapter;     // folder; empty: MODEL/adapter, as training writes it
  std::string out;         // new folder
  Numerics numerics;       // of the merge
  std::string base_model;  // peft: base_model_name_or_path to write; empty: as in the adapter
};

struct ExportResult {
  std::string peft_type;         // LORA, ADALORA or PROMPT_TUNING
  double logit_difference = -1;  // merge: largest difference of a logit; < 0: nothing was merged
};

// Writes options.out, a folder that appears complete. Errors: kInput without an adapter folder,
// kUsage for an adapter that the weights hold already and for a prompt, which cannot be merged.
ExportResult export_adapter(ExportOptions options);

}  // namespace etrlrec
