// The vectors of llama.cpp's vocabularies: BASE.inp and BASE.out in the folder of shared models.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "base/io.h"
#include "shared_models.h"
#include "text/tokenizer.h"

namespace etrlrec {

// Texts separated by a marker line, one line of ids each.
inline void expect_vectors(const Tokenizer& tokenizer, const std::string& base) {
  const std::string input = read_file(kModels + base + ".inp");
  const std::string marker = "\n__ggml_vocab_test__\n";
  std::vector<std::string> texts;
  size_t begin = 0;
  for (size_t end; (end = input.find(marker, begin)) != std::string::npos;
       begin = end + marker.size())
    texts.push_back(input.substr(begin, end - begin));
  texts.push_back(input.substr(begin));
  std::vector<std::vector<int64_t>> expected;
  for_each_line(kModels + base + ".out", [&](std::string_view line, int64_t) {
    std::istringstream stream{std::string(line)};
    expected.emplace_back(std::istream_iterator<int64_t>(stream), std::istream_iterator<int64_t>());
  });
  ASSERT_GE(expected.size(), 46u);
  ASSERT_GE(texts.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i)
    EXPECT_EQ(tokenizer.encode(texts[i]), expected[i]) << "text " << i << ": " << texts[i];
}

}  // namespace etrlrec
