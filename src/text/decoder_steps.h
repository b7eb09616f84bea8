// Decoders of tokenizer.json: steps from the tokens of some ids to their text. All of Hugging Face
// `tokenizers` are read but CTC. Bytes that make no UTF-8 stay as they are, where the library
// writes U+FFFD. Internal to text/.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace etrlrec {

// Tokens under way, and what lies around them: some steps treat the first or last otherwise.
struct TokenTexts {
  std::vector<std::string> texts{};
  bool is_at_start = true, is_at_end = true;
  bool is_joined = false;  // `texts` holds one text, no longer one a token
};
using DecoderStep = std::function<void(TokenTexts&)>;

// The steps of a "decoder", Sequences taken apart; null: tokens with a space between them. Errors
// (kInput, with `name`): an unknown type, damaged settings.
std::vector<DecoderStep> read_decoder(const nlohmann::json& decoder, const std::string& name);

}  // namespace etrlrec
