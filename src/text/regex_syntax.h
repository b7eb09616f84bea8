// Regular expressions of tokenizer.json are Oniguruma's with Ruby's syntax; this translates them
// into what PCRE2 reads with UTF, UCP and MULTILINE on. What differs: ^ and $ match at every line,
// (?m) lets the dot match line feeds, (?i) alone holds up to the end of its group, \h is a
// hexadecimal digit, {,n} is an interval and {n,m}+ repeats one, \s is White_Space, \w is
// Alphabetic, marks, digits, connectors and (outside of classes) superscripts of Latin-1, classes
// nest and intersect with &&. Not translated: that (?i)ss also matches a sharp s. Internal to
// text/.
#pragma once

#include <string>
#include <string_view>

namespace etrlrec {

// Errors (kInput, with `name` and the place): a pattern that is cut off or nested too deeply, and
// what has no translation: (?x), absent operators, conditions, rare escapes.
std::string translate_ruby_regex(std::string_view pattern, const std::string& name);

}  // namespace etrlrec
