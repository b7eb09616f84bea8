// config.json of T5, as transformers 4 and 5 write it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace etrlrec {

struct T5Config {  // keys of config.json
  std::string model_type = "t5";
  int64_t vocab_size = 32128;
  int64_t d_model = 512;
  int64_t d_kv = 64;  // of one head; num_heads * d_kv need not be d_model
  int64_t d_ff = 2048;
  int64_t num_layers = 6;  // of the encoder
  int64_t num_decoder_layers = 6;
  int64_t num_heads = 8;
  int64_t relative_attention_num_buckets = 32;
  int64_t relative_attention_max_distance = 128;
  std::string feed_forward_proj = "relu";  // relu | gated-gelu (its tanh form)
  double layer_norm_epsilon = 1e-6;
  double dropout_rate = 0.1;  // read and written, never applied
  double initializer_factor = 1;
  bool tie_word_embeddings = true;    // false: lm_head.weight is a tensor of its own
  bool scale_decoder_outputs = true;  // times d_model^-0.5 before the head
  int64_t pad_token_id = 0;
  int64_t decoder_start_token_id = 0;
  std::vector<int64_t> eos_token_ids{1};

  bool is_gated() const { return feed_forward_proj == "gated-gelu"; }
  int64_t key_value_bytes() const {  // of one token of the decoder
    return 2 * num_decoder_layers * num_heads * d_kv * static_cast<int64_t>(sizeof(float));
  }
};
// Errors (kModel) name the field: values out of range, and fields that would change the result and
// are not computed here. num_decoder_layers missing: num_layers; decoder_start_token_id may stand
// in generation_config.json instead. Outputs are scaled unless tie_word_embeddings or
// scale_decoder_outputs says not to.
void check_t5_config(const T5Config& config, const std::string& name);
T5Config read_t5_config(const std::filesystem::path& folder);
void write_t5_config(const T5Config& config, const std::filesystem::path& folder);

}  // namespace etrlrec
