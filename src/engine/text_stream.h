// From generated ids to text for people: whole characters only, and stop strings wherever token
// boundaries fall.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace etrlrec {

class TextStream {
 public:
  // Ids of `eos_ids` have no text. Empty stop strings are an error (kUsage).
  TextStream(const Tokenizer& tokenizer, std::vector<std::string> stop,
             std::vector<int64_t> eos_ids);
  // The text that is certain by now: no part of a character, and nothing that may be the beginning
  // of a stop string. Nothing comes after a stop string. Bytes that are not UTF-8 come out as
  // U+FFFD.
  std::string push(int64_t id);
  std::string finish();  // what was held back; to be called at the end
  bool is_stopped() const { return is_stopped_; }

 private:
  std::string release(size_t size, bool at_end);

  const Tokenizer& tokenizer_;
  std::vector<std::string> stop_;
  std::vector<int64_t> eos_ids_;
  std::string held_;
  bool is_stopped_ = false;
};

// Text of a whole completion, cut where a stop string begins.
std::string completion_text(const Tokenizer& tokenizer, std::span<const int64_t> ids,
                            const std::vector<std::string>& stop,
                            const std::vector<int64_t>& eos_ids);

// For GenerationOptions::is_complete: whether the last id completes a stop string. The tokenizer
// must outlive it.
std::function<bool(std::span<const int64_t>)> stops_at(const Tokenizer& tokenizer,
                                                       std::vector<std::string> stop);

}  // namespace etrlrec
