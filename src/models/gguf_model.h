// Decoders in GGUF files: architectures llama, qwen2 and qwen3, their configuration and weights
// under Hugging Face's names, and the way back. llama.cpp keeps the rows of q_proj and k_proj of
// Llama in another order (even and odd dimensions of a head side by side instead of in two halves);
// it is undone and made here.
#pragma once

#include <torch/types.h>

#include <filesystem>
#include <functional>
#include <string>

#include "base/gguf_file.h"
#include "base/gguf_writer.h"
#include "models/decoder_config.h"

namespace etrlrec {

using OnProgress = std::function<void(int64_t done, int64_t total)>;  // values written

// What the metadata says, with the shapes of the tensors where it says nothing. eos_token_ids is
// left as it is. Errors (kInput, kModel) name the key: another architecture, experts, sliding
// windows, rotations that are not computed here (YaRN), and whatever check_llm_config refuses.
LlmConfig read_gguf_config(const GgufFile& file);

// model.safetensors of all tensors in one type (kFloat or kBFloat16), one in memory at a time.
// One error (kModel) lists every tensor that is missing, unknown or of another shape.
void write_gguf_weights(const GgufFile& file, const LlmConfig& config, at::ScalarType type,
                        const std::filesystem::path& path, const OnProgress& on_progress = {});

// The way back: metadata, and the tensors of a Hugging Face folder (one file or shards, of any
// type), a few megabytes of them in memory at a time. Matrices get the type, F16 where a row is no
// whole number of its blocks; vectors are F32. Errors: kModel for a model type that GGUF has no
// name for here, for sliding windows and for tensors that do not fit the configuration, kInput for
// values that the type cannot hold.
void put_gguf_config(const LlmConfig& config, GgufTensorType type, GgufWriter& writer);
void write_gguf_tensors(const std::filesystem::path& folder, LlmConfig config, GgufTensorType type,
                        GgufWriter& writer, const OnProgress& on_progress = {});

}  // namespace etrlrec
