#include "text/decoder_steps.h"

#include <array>
#include <charconv>

#include "base/check.h"
#include "base/json.h"
#include "text/characters.h"
#include "text/pipeline_json.h"
#include "text/text_pattern.h"
#include "text/tokenizer_file.h"
#include "text/visible_bytes.h"

namespace etrlrec {
namespace {

std::string with_replaced(std::string_view text, std::string_view from, std::string_view to) {
  return from.empty() ? std::string(text)
                      : TextPattern::of_text(std::string(from)).replaced(text, to);
}

void join_texts(TokenTexts& tokens) {
  std::string all;
  for (const std::string& text : tokens.texts) all += text;
  tokens.texts = {std::move(all)};
  tokens.is_joined = true;
}

void from_visible_bytes(TokenTexts& tokens) {
  std::string bytes;
  for (std::string& text : tokens.texts)
    if (visible_to_bytes(text, bytes)) text = bytes;
  join_texts(tokens);
}

// Byte of a token <0xNN> in either case, -1 for others.
int fallback_byte(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return -1;
  int byte = -1;
  const auto [end, error] = std::from_chars(text.data() + 3, text.data() + 5, byte, 16);
  return error == std::errc() && end == text.data() + 5 ? byte : -1;
}

// Neighbouring bytes become one text.
void from_fallback_bytes(TokenTexts& tokens) {
  std::vector<std::string> out;
  bool follows_byte = false;
  for (std::string& text : tokens.texts) {
    const int byte = fallback_byte(text);
    if (byte < 0 || !follows_byte) out.emplace_back();
    byte < 0 ? out.back() = std::move(text) : out.back() += static_cast<char>(byte);
    follows_byte = byte >= 0;
  }
  tokens.texts = std::move(out);
}

// A token that begins a text shows no spaces, unless none was put there.
DecoderStep show_marks_as_spaces(const Json& step, const std::string& name) {
  std::string scheme;
  const std::string mark = read_metaspace(step, scheme, name);
  return [mark, drops = scheme != "never"](TokenTexts& tokens) {
    for (size_t i = 0; i < tokens.texts.size(); ++i) {
      const bool is_first = i == 0 && tokens.is_at_start;
      tokens.texts[i] = with_replaced(tokens.texts[i], mark, is_first && drops ? "" : " ");
    }
  };
}

std::string without_needless_spaces(std::string text) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 11> kReplacements{
      {{" .", "."},
       {" ?", "?"},
       {" !", "!"},
       {" ,", ","},
       {" ' ", "'"},
       {" n't", "n't"},
       {" 'm", "'m"},
       {" do not", " don't"},
       {" 's", "'s"},
       {" 've", "'ve"},
       {" 're", "'re"}}};
  for (const auto& [from, to] : kReplacements) text = with_replaced(text, from, to);
  return text;
}

DecoderStep join_word_pieces(const Json& step, const std::string& name) {
  const auto prefix = get_or<std::string>(step, "prefix", "##", name);
  const bool cleanup = get_or<bool>(step, "cleanup", true, name);
  return [prefix, cleanup](TokenTexts& tokens) {
    for (size_t i = 0; i < tokens.texts.size(); ++i) {
      std::string& text = tokens.texts[i];
      if (i > 0 || !tokens.is_at_start)
        text = text.starts_with(prefix) ? text.substr(prefix.size()) : " " + text;
      if (cleanup) text = without_needless_spaces(std::move(text));
    }
  };
}

DecoderStep join_suffixes(const Json& step, const std::string& name) {
  return [suffix = get_or<std::string>(step, "suffix", "</w>", name)](TokenTexts& tokens) {
    for (size_t i = 0; i < tokens.texts.size(); ++i) {
      const bool is_last = i + 1 == tokens.texts.size() && tokens.is_at_end;
      tokens.texts[i] = with_replaced(tokens.texts[i], suffix, is_last ? "" : " ");
    }
  };
}

// Takes up to `start` characters `content` from the beginning, up to `stop` from the end.
DecoderStep strip_ends(const Json& step, const std::string& name) {
  const auto start = get<int64_t>(step, "start", name), stop = get<int64_t>(step, "stop", name);
  CHECK(start >= 0 && stop >= 0, kInput, "{}: decoder Strip: expected counts, found {} and {}",
        name, start, stop);
  return [content = read_character(step, "content", " ", name), start, stop](TokenTexts& tokens) {
    for (std::string& text : tokens.texts) {
      std::string_view rest = text;
      const bool has_start = tokens.is_at_start || !tokens.is_joined;
      const bool has_end = tokens.is_at_end || !tokens.is_joined;
      for (int64_t i = 0; has_start && i < start && rest.starts_with(content); ++i)
        rest.remove_prefix(content.size());
      for (int64_t i = 0; has_end && i < stop && rest.ends_with(content); ++i)
        rest.remove_suffix(content.size());
      text = std::string(rest);
    }
  };
}

DecoderStep replace_pattern(const Json& step, const std::string& name) {
  return [pattern = read_pattern(step, name),
          content = get<std::string>(step, "content", name)](TokenTexts& tokens) {
    for (std::string& text : tokens.texts) text = pattern.replaced(text, content);
  };
}

DecoderStep read_decoder_step(const Json& step, const std::string& name) {
  const std::string type = type_of(step);
  if (type == "ByteLevel") return from_visible_bytes;
  if (type == "ByteFallback") return from_fallback_bytes;
  if (type == "Fuse") return join_texts;
  if (type == "Metaspace") return show_marks_as_spaces(step, name);
  if (type == "WordPiece") return join_word_pieces(step, name);
  if (type == "BPEDecoder") return join_suffixes(step, name);
  if (type == "Strip") return strip_ends(step, name);
  if (type == "Replace") return replace_pattern(step, name);
  refuse_type("decoder", step,
              "Sequence, ByteLevel, ByteFallback, Fuse, Metaspace, WordPiece, BPEDecoder, Strip, "
              "Replace",
              name);
}

void put_spaces_between(TokenTexts& tokens) {
  for (size_t i = 0; i < tokens.texts.size(); ++i)
    if (i > 0 || !tokens.is_at_start) tokens.texts[i].insert(0, " ");
}

}  // namespace

std::vector<DecoderStep> read_decoder(const Json& decoder, const std::string& name) {
  if (decoder.is_null()) return {put_spaces_between};
  std::vector<DecoderStep> out;
  const Json root{{"decoder", decoder}};
  for (const Json& step : steps_of(root, "decoder", "decoders", name))
    out.push_back(read_decoder_step(step, name));
  return out;
}

}  // namespace etrlrec
