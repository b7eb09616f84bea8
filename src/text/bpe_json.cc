#include "text/bpe_json.h"

#include "base/json.h"

namespace etrlrec {

OrderedJson added_token_json(size_t id, std::string_view content, bool special) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", special}};
}

OrderedJson byte_level_step(const ByteLevelStep& settings) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", false},
          {"trim_offsets", settings.trim_offsets},
          {"use_regex", settings.use_regex}};
}

OrderedJson split_step(PatternKind kind) {
  return {{"type", "Split"},
          {"pattern", {{"Regex", split_pattern(kind)}}},
          {"behavior", "Isolated"},
          {"invert", false}};
}

OrderedJson bpe_model_json(const BpeModelJson& settings) {
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", settings.unk_token ? OrderedJson(*settings.unk_token) : OrderedJson()},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", settings.fuse_unk},
          {"byte_fallback", settings.byte_fallback},
          {"ignore_merges", settings.ignore_merges}};
}

}  // namespace etrlrec
