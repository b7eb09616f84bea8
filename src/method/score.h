// Log-probabilities (and logits) of given rows of token ids, so that any outside program can check
// a model against another implementation.
#pragma once

#include <string>
#include <vector>

#include "nn/numerics.h"

namespace etrlrec {

struct ScoreOptions {
  std::string model;                  // folder of a decoder or T5
  std::vector<std::string> adapters;  // PEFT folders: one LoRA or AdaLoRA at most, soft prompts
  std::string ids;                    // JSON file: a list of lists of token ids
  std::string decoder_ids;            // T5: the same of the decoder input, start token first
  std::string out;                    // safetensors file
  std::string dtype = "float32";
  Numerics numerics;
  bool logits = false;  // write the logits, too
};

// Writes logprobs.<row> [length - 1] of each next token of the row, in fp32, and with `logits`
// logits.<row> [length, vocabulary]. One row at a time: memory is that of the longest.
void score(const ScoreOptions& options);

}  // namespace etrlrec
