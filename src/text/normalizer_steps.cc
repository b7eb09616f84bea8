#include "text/normalizer_steps.h"

#include <algorithm>

#include "base/check.h"
#include "base/json.h"
#include "text/characters.h"
#include "text/charsmap.h"
#include "text/normal_forms.h"
#include "text/pipeline_json.h"
#include "text/text_pattern.h"
#include "text/tokenizer_file.h"
#include "text/utf8.h"
#include "text/visible_bytes.h"

namespace etrlrec {
namespace {

constexpr size_t kMaxNormalized = size_t{1} << 28;

void check_size(size_t size) {
  CHECK(size <= kMaxNormalized, kInput, "text: a normalizer makes more than {} bytes of it",
        kMaxNormalized);
}

// Puts `out` in the place of the text. `start`: how many of its bytes came from the first
// character.
void replace_text(Piece& piece, std::string out, size_t start) {
  check_size(out.size());
  piece.text = std::move(out);
  piece.from_start = std::min(start, piece.text.size());
}

// Every character becomes what on_character(character, out) appends.
void map_characters(Piece& piece, const std::function<void(char32_t, std::u32string&)>& map) {
  std::string out;
  std::u32string mapped;
  size_t start = 0;
  for (size_t i = 0; i < piece.text.size();) {
    const Character next = character_at(piece.text, i);
    mapped.clear();
    map(next.point, mapped);
    for (const char32_t c : mapped) append_code_point(c, out);
    if (i < piece.from_start) start = out.size();
    i += next.length;
  }
  replace_text(piece, std::move(out), start);
}

void keep_characters(Piece& piece, const std::function<bool(char32_t)>& keeps) {
  map_characters(piece, [&](char32_t c, std::u32string& out) {
    if (keeps(c)) out.push_back(c);
  });
}

void to_normal_form(Piece& piece, NormalForm form) {
  const size_t start =
      normal_form(std::string_view(piece.text).substr(0, piece.from_start), form).size();
  replace_text(piece, normal_form(piece.text, form), start);
}

void to_lower_case(Piece& piece) { map_characters(piece, append_lower_case); }

void strip_white_space(Piece& piece, bool left, bool right) {
  const std::string_view text = piece.text;
  size_t begin = 0, end = text.size();
  for (size_t i = 0; left && i < text.size();) {
    const Character next = character_at(text, i);
    if (!is_white_space(next.point)) break;
    begin = i += next.length;
  }
  if (right) {
    end = begin;
    for (size_t i = begin; i < text.size();) {
      const Character next = character_at(text, i);
      i += next.length;
      if (!is_white_space(next.point)) end = i;
    }
  }
  const size_t start = piece.from_start - std::min(piece.from_start, begin);
  replace_text(piece, std::string(text.substr(begin, end - begin)), start);
}

// The clean-up of machine translation: control characters go, other white space becomes a space.
void clean_like_nmt(Piece& piece) {
  map_characters(piece, [](char32_t c, std::u32string& out) {
    const bool is_gone = (c >= 0x01 && c <= 0x08) || c == 0x0B || (c >= 0x0E && c <= 0x1F) ||
                         c == 0x7F || c == 0x8F || c == 0x9F;
    const bool is_space = c == 0x09 || c == 0x0A || c == 0x0C || c == 0x0D || c == 0x1680 ||
                          (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 ||
                          c == 0x2581 || c == 0xFEFF || c == 0xFFFD;
    if (!is_gone) out.push_back(is_space ? U' ' : c);
  });
}

void map_charsmap(Piece& piece, const Charsmap& charsmap) {
  std::string out;
  size_t read = 0, start = 0;
  charsmap.normalize(piece.text, [&](std::string_view before, std::string_view after) {
    out += after;
    if (read < piece.from_start) start = out.size();
    read += before.size();
  });
  replace_text(piece, std::move(out), start);
}

void clean_like_bert(Piece& piece) {
  map_characters(piece, [](char32_t c, std::u32string& out) {
    const bool is_white = is_white_space(c);
    const bool is_kept_control = c == '\t' || c == '\n' || c == '\r';
    if (c != 0 && c != 0xFFFD && (is_kept_control || !is_control_or_unassigned(c)))
      out.push_back(is_white ? U' ' : c);
  });
}

void space_out_chinese(Piece& piece) {
  map_characters(piece, [](char32_t c, std::u32string& out) {
    if (is_chinese(c)) {
      out += {U' ', c, U' '};
    } else {
      out.push_back(c);
    }
  });
}

std::vector<NormalizerStep> bert_normalizer(const Json& step, const std::string& name) {
  const bool lowercase = get_or<bool>(step, "lowercase", true, name);
  std::vector<NormalizerStep> out;
  if (get_or<bool>(step, "clean_text", true, name)) out.emplace_back(clean_like_bert);
  if (get_or<bool>(step, "handle_chinese_chars", true, name)) out.emplace_back(space_out_chinese);
  if (get_or<bool>(step, "strip_accents", lowercase, name))
    out.emplace_back([](Piece& piece) {
      to_normal_form(piece, NormalForm::kNfd);
      keep_characters(piece, [](char32_t c) { return !is_nonspacing_mark(c); });
    });
  if (lowercase) out.emplace_back(to_lower_case);
  return out;
}

NormalizerStep read_normalizer_step(const Json& step, const std::string& name) {
  const std::string type = type_of(step);
  static const std::vector<std::pair<std::string, NormalForm>> kForms{{"NFC", NormalForm::kNfc},
                                                                      {"NFD", NormalForm::kNfd},
                                                                      {"NFKC", NormalForm::kNfkc},
                                                                      {"NFKD", NormalForm::kNfkd}};
  for (const auto& [form_name, form] : kForms)
    if (type == form_name) return [form = form](Piece& piece) { to_normal_form(piece, form); };
  if (type == "Lowercase") return to_lower_case;
  if (type == "Prepend")
    return
        [front = get<std::string>(step, "prepend", name)](Piece& piece) { piece.prepend(front); };
  if (type == "Replace")
    return [pattern = read_pattern(step, name), content = get<std::string>(step, "content", name)](
               Piece& piece) { replace_matches(piece, pattern, content); };
  if (type == "Strip")
    return [left = get_or<bool>(step, "strip_left", true, name),
            right = get_or<bool>(step, "strip_right", true, name)](Piece& piece) {
      strip_white_space(piece, left, right);
    };
  if (type == "StripAccents")
    return [](Piece& piece) { keep_characters(piece, [](char32_t c) { return !is_mark(c); }); };
  if (type == "Nmt") return clean_like_nmt;
  if (type == "Precompiled")
    return [charsmap = std::make_shared<const Charsmap>(Charsmap::of_base64(
                get<std::string>(step, "precompiled_charsmap", name), name))](Piece& piece) {
      map_charsmap(piece, *charsmap);
    };
  if (type == "ByteLevel") return to_visible_bytes;
  refuse_type("normalizer", step,
              "Sequence, NFC, NFD, NFKC, NFKD, Lowercase, Prepend, Replace, Strip, StripAccents, "
              "BertNormalizer, Nmt, Precompiled, ByteLevel",
              name);
}

}  // namespace

// What a match becomes has the place of its last character.
void replace_matches(Piece& piece, const TextPattern& pattern, const std::string& content) {
  std::string out;
  size_t start = 0;
  for (const TextRange& range : pattern.find(piece.text)) {
    const std::string_view part =
        std::string_view(piece.text).substr(range.begin, range.end - range.begin);
    if (range.is_match) {
      out += content;
      check_size(out.size());
      size_t last = range.end;
      while (last > range.begin && (piece.text[--last] & 0xC0) == 0x80) {
      }
      if (last < piece.from_start || range.end == 0) start = out.size();
    } else {
      out += part;
      if (range.begin < piece.from_start)
        start = out.size() - part.size() + std::min(part.size(), piece.from_start - range.begin);
    }
  }
  replace_text(piece, std::move(out), start);
}

void to_visible_bytes(Piece& piece) {
  const size_t start =
      bytes_to_visible(std::string_view(piece.text).substr(0, piece.from_start)).size();
  replace_text(piece, bytes_to_visible(piece.text), start);
}

Piece Piece::cut(size_t begin, size_t end) const {
  const bool starts = is_at_start && begin < from_start;
  return {text.substr(begin, end - begin), starts ? std::min(from_start, end) - begin : 0, starts};
}

void Piece::prepend(std::string_view front) {
  if (text.empty()) return;
  check_size(text.size() + front.size());
  text.insert(0, front);
  if (from_start > 0) from_start += front.size();
}

Piece whole_piece(std::string_view text, bool is_at_start) {
  const size_t first = text.empty() ? 0 : character_at(text, 0).length;
  return {std::string(text), is_at_start ? first : 0, is_at_start};
}

std::vector<NormalizerStep> read_normalizer(const Json& normalizer, const std::string& name) {
  std::vector<NormalizerStep> out;
  const Json root{{"normalizer", normalizer}};
  for (const Json& step : steps_of(root, "normalizer", "normalizers", name)) {
    if (type_of(step) != "BertNormalizer") {
      out.push_back(read_normalizer_step(step, name));
      continue;
    }
    for (NormalizerStep& part : bert_normalizer(step, name)) out.push_back(std::move(part));
  }
  return out;
}

void apply_steps(const std::vector<NormalizerStep>& steps, Piece& piece) {
  for (const NormalizerStep& step : steps) step(piece);
}

}  // namespace etrlrec
