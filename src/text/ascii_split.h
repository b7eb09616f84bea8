// The split patterns of byte-level BPE written out for ASCII, so that most pieces of most texts
// need no regular expression. Internal to text/.
#pragma once

#include <cstddef>
#include <string_view>

#include "text/split_patterns.h"

namespace etrlrec {

// Length of the piece that the pattern of `kind` cuts at text[position], position < text.size().
// 0: a character beyond ASCII may decide; then the regular expression must be asked. Reads no
// further than that piece, so a whole text costs time linear in its size.
size_t ascii_piece(PatternKind kind, std::string_view text, size_t position);

}  // namespace etrlrec
