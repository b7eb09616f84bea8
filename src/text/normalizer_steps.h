// Normalizers of tokenizer.json: steps that change a text before it is cut into pieces. All of
// Hugging Face `tokenizers` are read. Internal to text/.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "text/text_pattern.h"

namespace etrlrec {

// A text under way, and whether its beginning is that of the whole text: Metaspace with
// prepend_scheme "first" asks.
struct Piece {
  std::string text{};
  // Bytes at the beginning that came from the first character of the whole text.
  size_t from_start = 0;
  bool is_at_start = false;

  // A piece of this one.
  Piece cut(size_t begin, size_t end) const;
  // Puts characters in front; does nothing to an empty text.
  void prepend(std::string_view front);
};
// The whole of `text`, which is UTF-8; `is_at_start` false: something came before it.
Piece whole_piece(std::string_view text, bool is_at_start);

// What matches becomes `content`.
void replace_matches(Piece& piece, const TextPattern& pattern, const std::string& content);
void to_visible_bytes(Piece& piece);  // the alphabet of byte-level BPE (text/visible_bytes.h)

using NormalizerStep = std::function<void(Piece&)>;

// The steps of a "normalizer" (null: none), Sequences taken apart. Errors (kInput, with `name`): an
// unknown type, damaged settings.
std::vector<NormalizerStep> read_normalizer(const nlohmann::json& normalizer,
                                            const std::string& name);
void apply_steps(const std::vector<NormalizerStep>& steps, Piece& piece);

}  // namespace etrlrec
