// A model folder as a GGUF file, for llama.cpp and programs built on it.
#pragma once

#include <cstdint>
#include <string>

namespace etrlrec {

struct ExportGgufOptions {
  std::string model;         // folder
  std::string out;           // new .gguf
  std::string type = "f16";  // of the matrices: f32, f16, bf16 or q8_0
};

struct ExportGgufResult {
  std::string model_type;
  uint64_t bytes = 0;  // of the file
};

// Writes options.out, a file that appears complete: configuration, weights, tokenizer and chat
// template. Importing it gives the same ids, and weights within the rounding of the type. Errors:
// kUsage for an unknown type, a file that is there already and a folder with a trained prompt,
// kModel for what GGUF cannot say (models/gguf_model.h, text/gguf_tokenizer_writer.h).
ExportGgufResult export_gguf(const ExportGgufOptions& options);

}  // namespace etrlrec
