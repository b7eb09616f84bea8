#include "text/added_vocabulary.h"

#include <algorithm>
#include <unordered_set>

#include "text/characters.h"

namespace etrlrec {
namespace {

size_t last_character(std::string_view text) {
  size_t at = text.size() - 1;
  while (at > 0 && (text[at] & 0xC0) == 0x80) --at;
  return at;
}

bool is_word_around(std::string_view text, size_t begin, size_t end) {
  const bool before =
      begin > 0 &&
      is_word_character(character_at(text, last_character(text.substr(0, begin))).point);
  return before || (end < text.size() && is_word_character(character_at(text, end).point));
}

size_t spaces_at_end(std::string_view text) {
  size_t size = text.size();
  while (size > 0) {
    const size_t last = last_character(text.substr(0, size));
    if (!is_white_space(character_at(text, last).point)) break;
    size = last;
  }
  return size;
}

size_t spaces_at_start(std::string_view text) {
  size_t size = 0;
  while (size < text.size() && is_white_space(character_at(text, size).point))
    size += character_at(text, size).length;
  return size;
}

}  // namespace

AddedVocabulary::AddedVocabulary(const Tokens& tokens, const Normalize& normalize)
    : normalize_(normalize) {
  std::unordered_set<std::string> seen;
  for (const auto& [content, token] : tokens) {
    const bool changes = token.normalized && normalize_;
    const std::string spelled = changes ? normalize_(content) : content;
    if (spelled.empty() || !seen.insert((token.normalized ? "n" : "r") + spelled).second) continue;
    Finders& finders = token.normalized ? normalized_ : raw_;
    finders.all.add(spelled, static_cast<uint32_t>(tokens_.size()));
    if (token.is_phrase) finders.phrases.add(spelled, static_cast<uint32_t>(tokens_.size()));
    tokens_.push_back(token);
  }
}

std::vector<AddedVocabulary::Part> AddedVocabulary::cut(std::string_view text, bool is_normalized,
                                                        AddedTokenUse use) const {
  const Finders& finders = is_normalized ? normalized_ : raw_;
  const Phrases& finder = use == AddedTokenUse::kPhrases ? finders.phrases : finders.all;
  std::vector<Part> parts;
  size_t done = 0, spaces_from = 0, spaces_end = 0;  // white space that was looked over last
  for (size_t from = 0; !finder.empty() && from < text.size();) {
    const Phrases::Match match = finder.find(text, from);
    if (match.length == 0) break;
    from = match.begin + match.length;
    const AddedToken& token = tokens_[match.id];
    if (use == AddedTokenUse::kNotSpecial && token.is_special) continue;
    if (token.single_word && is_word_around(text, match.begin, from)) continue;
    size_t begin = match.begin, end = from;
    if (token.lstrip)
      begin = begin < done ? done : done + spaces_at_end(text.substr(done, begin - done));
    if (token.rstrip) {
      if (end < spaces_from || end > spaces_end) {
        spaces_from = end;
        spaces_end = end + spaces_at_start(text.substr(end));
      }
      end = spaces_end;
    }
    if (begin > done) parts.push_back({done, begin});
    parts.push_back({begin, end, token.id});
    done = end;
  }
  if (done < text.size()) parts.push_back({done, text.size()});
  return parts;
}

std::vector<int64_t> AddedVocabulary::encode(
    std::string_view text, AddedTokenUse use,
    const std::function<std::vector<int64_t>(std::string_view, bool)>& encode_text) const {
  std::vector<int64_t> ids;
  const auto append = [&](std::string_view part, bool is_at_start) {
    const std::vector<int64_t> more = encode_text(part, is_at_start);
    ids.insert(ids.end(), more.begin(), more.end());
  };
  for (const Part& part : cut(text, false, use)) {
    if (part.id >= 0) {
      ids.push_back(part.id);
      continue;
    }
    const std::string_view rest = text.substr(part.begin, part.end - part.begin);
    if (!has_normalized()) {
      append(rest, part.begin == 0);
      continue;
    }
    const std::string changed = normalize_ ? normalize_(rest) : std::string(rest);
    for (const Part& inner : cut(changed, true, use)) {
      if (inner.id >= 0) {
        ids.push_back(inner.id);
      } else {
        append(std::string_view(changed).substr(inner.begin, inner.end - inner.begin),
               part.begin == 0 && inner.begin == 0);
      }
    }
  }
  return ids;
}

}  // namespace etrlrec
