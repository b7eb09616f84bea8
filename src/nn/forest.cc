#include "nn/forest.h"

#include <algorithm>

#include "base/check.h"

namespace etrlrec {

int64_t TokenForest::add(int64_t parent, std::span<const int64_t> tokens,
                         std::span<const int64_t> source) {
  CHECK(!tokens.empty(), kInput, "token forest: expected a segment of at least one token");
  CHECK(parent >= -1 && parent < static_cast<int64_t>(segments.size()), kInput,
        "token forest: expected a parent in [-1, {}), found {}", segments.size(), parent);
  CHECK(source.empty() || parent == -1, kInput, "token forest: only a root owns a source text");
  int64_t position = 0;
  if (parent >= 0) position = positions[segments[parent].end - 1] + 1;
  const int64_t begin = num_tokens();
  ids.insert(ids.end(), tokens.begin(), tokens.end());
  for (size_t i = 0; i < tokens.size(); ++i) positions.push_back(position++);
  segments.push_back({begin, num_tokens(), parent});
  if (!source.empty()) {
    if (sources.empty() ||
        !std::equal(source.begin(), source.end(), sources.back().begin(), sources.back().end()))
      sources.emplace_back(source.begin(), source.end());
    segments.back().source = std::ssize(sources) - 1;
  }
  return static_cast<int64_t>(segments.size()) - 1;
}

int64_t TokenForest::num_source_tokens() const {
  int64_t count = 0;
  for (const std::vector<int64_t>& source : sources) count += std::ssize(source);
  return count;
}

}  // namespace etrlrec
