// The answer texts of a request with `count` candidates whose answers are numbers.
#pragma once

#include <string>
#include <vector>

namespace etrlrec {

inline std::vector<std::string> numbers(int count) {
  std::vector<std::string> texts;
  for (int k = 1; k <= count; ++k) texts.push_back(" " + std::to_string(k));
  return texts;
}
inline std::string number(int k) { return " " + std::to_string(k); }

}  // namespace etrlrec
