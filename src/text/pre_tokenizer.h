// Pre-tokenisation of byte-level BPE: text is cut into pieces that merges never cross. The split
// patterns of GPT-2, Qwen2 and Llama 3 (as they stand in `tokenizer.json`) are compiled by PCRE2
// with UTF, Unicode properties and JIT; pieces that ASCII alone decides take a path written by hand
// (text/ascii_split.h). `\s` is compiled as the White_Space property, because
// PCRE2's own `\s` also holds U+180E. Knows nothing about vocabularies.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace etrlrec {

// kSpacedNumbers is Llama 3's pattern with numbers that take one leading space into their piece.
enum class PatternKind : int8_t { kGpt2, kQwen2, kLlama3, kSpacedNumbers };

const std::string& split_pattern(PatternKind kind);  // as written in tokenizer.json
std::optional<PatternKind> find_split_pattern(std::string_view pattern);  // exact spelling only

// Length of the longest prefix of `text` that is valid UTF-8 (no overlong forms, no surrogates).
size_t valid_utf8_length(std::string_view text);

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
