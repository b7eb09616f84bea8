// A GGUF file as a Hugging Face folder: configuration, weights, tokenizer, chat template.
#pragma once

#include <cstdint>
#include <string>

namespace etrlrec {

struct ImportOptions {
  std::string file;                // .gguf
  std::string out;                 // new folder
  std::string dtype = "bfloat16";  // of the weights in the folder: bfloat16 or float32
};

struct ImportResult {
  std::string model_type;
  int64_t parameters = 0, tokens = 0;  // values of the weights; of the tokenizer
  std::string chat_template;           // by name (text/chat_recognition.h), "" for none
};

// Writes options.out: config.json, generation_config.json, model.safetensors, tokenizer.json and
// tokenizer_config.json; a folder that appears complete, after its tokenizer and its configuration
// have been read again. Errors: kInput for a damaged or unsupported file, kModel for a model that
// is not computed here (models/gguf_model.h, text/gguf_tokenizer.h), kUsage for another dtype.
ImportResult import_model(const ImportOptions& options);

}  // namespace etrlrec
