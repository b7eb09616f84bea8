#include "temporal/claims.h"

#include <algorithm>
#include <array>

#include "temporal/names.h"

namespace etrlrec {
namespace {

constexpr size_t kMaxNameBytes = 24;

bool is_name_byte(char c) { return (c >= 'a' && c <= 'z') || c == '_'; }
bool is_word_byte(char c) {
  return is_name_byte(c) || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         static_cast<unsigned char>(c) >= 0x80;
}
bool is_separator(char c) { return c == ' ' || c == ','; }
bool ends_arguments(char c) { return c == ')' || c == '(' || c == '<' || c == '>' || c == '\n'; }

// Reads the arguments after an opening parenthesis at text[position]; false when they are
// malformed. Afterwards `position` is after the closing parenthesis or at the byte that ended the
// attempt.
bool read_arguments(std::string_view text, size_t& position, std::vector<std::string>& arguments) {
  bool good = true;
  size_t p = position + 1;
  while (p < text.size() && !ends_arguments(text[p])) {
    if (is_separator(text[p])) {
      ++p;
      continue;
    }
    const size_t begin = p;
    while (p < text.size() && !ends_arguments(text[p]) && !is_separator(text[p])) ++p;
    if (arguments.size() == kMaxArguments || p - begin > kMaxWordBytes)
      good = false;
    else
      arguments.emplace_back(text.substr(begin, p - begin));
  }
  const bool closed = p < text.size() && text[p] == ')';
  position = closed ? p + 1 : p;
  return good && closed;
}

}  // namespace

const char* dimension_name(Dimension dimension) {
  constexpr std::array<const char*, kNumDimensions> kNames{"IS", "IAT", "UET", "link"};
  return kNames.at(static_cast<size_t>(dimension));
}

const char* verdict_name(Verdict verdict) {
  constexpr std::array<const char*, 3> kNames{"true", "false", "unverifiable"};
  return kNames.at(static_cast<size_t>(verdict));
}

std::vector<Claim> parse_claims(std::string_view reasoning) {
  const std::string_view text = reasoning.substr(0, kMaxReasoningBytes);
  std::vector<Claim> claims;
  size_t word = 0;  // start of the run of word bytes that ends at p
  for (size_t p = 0; p < text.size() && claims.size() < kMaxClaims;) {
    if (text[p] != '(') {
      if (!is_word_byte(text[p])) word = p + 1;
      ++p;
      continue;
    }
    const std::string_view name = text.substr(word, p - word);
    const bool is_claim = !name.empty() && std::all_of(name.begin(), name.end(), is_name_byte);
    if (is_claim) {
      Claim claim{std::string(name), {}, word, 0};
      const bool good = read_arguments(text, p, claim.arguments);
      if (!good || name.size() > kMaxNameBytes) claim.predicate.clear(), claim.arguments.clear();
      claim.end = p;
      claims.push_back(std::move(claim));
      word = p;  // after ')' or at a byte that the loop looks at again
      if (p < text.size() && text[p] == '(') word = ++p;
    } else {
      word = ++p;
    }
  }
  return claims;
}

}  // namespace etrlrec
