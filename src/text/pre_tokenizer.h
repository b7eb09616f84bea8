// Pre-tokenisation of byte-level BPE: text is cut into pieces that merges never cross. The split
// patterns are compiled by PCRE2 with UTF, Unicode properties and JIT; pieces that ASCII alone
// decides take a path written by hand (text/ascii_split.h). `\s` is compiled as the White_Space
// property, because PCRE2's own `\s` also holds U+180E. This unit knows nothing about vocabularies.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "text/split_patterns.h"

namespace etrlrec {

class PreTokenizer {
 public:
  // Buffers of one thread. A scratch may be used with any PreTokenizer, by one thread at a time.
  class Scratch {
   public:
    Scratch();
    ~Scratch();
    Scratch(const Scratch&) = delete;

   private:
    friend class PreTokenizer;
    struct Impl;
    std::unique_ptr<Impl> impl_;
  };

  // use_ascii_path false: every piece is cut by PCRE2, the slow twin (for tests).
  PreTokenizer(PatternKind kind, bool normalize_nfc, bool use_ascii_path = true);
  ~PreTokenizer();
  PatternKind kind() const { return kind_; }
  bool normalizes() const { return normalize_nfc_; }

  // Cuts any bytes into pieces; the pieces cover the normalised text in order. Runs of bytes that
  // are not UTF-8 are pieces of their own and are not normalised. `pieces` point into `text` or
  // into the scratch: valid until the next call with this scratch.
  void split(std::string_view text, Scratch& scratch, std::vector<std::string_view>& pieces) const;

 private:
  void split_valid(std::string_view text, Scratch& scratch,
                   std::vector<std::string_view>& pieces) const;

  PatternKind kind_;
  bool normalize_nfc_, use_ascii_path_;
  struct Code;
  std::shared_ptr<const Code> code_;
};

}  // namespace etrlrec
