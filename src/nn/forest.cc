#include "nn/forest.h"

#include "base/check.h"

namespace etrlrec {

int64_t TokenForest::add(int64_t parent, std::span<const int64_t> tokens) {
  CHECK(!tokens.empty(), kInput, "token forest: expected a segment of at least one token");
  CHECK(parent >= -1 && parent < static_cast<int64_t>(segments.size()), kInput,
        "token forest: expected a parent in [-1, {}), found {}", segments.size(), parent);
  int64_t position = 0;
  if (parent >= 0) position = positions[segments[parent].end - 1] + 1;
  const int64_t begin = num_tokens();
  ids.insert(ids.end(), tokens.begin(), tokens.end());
  for (size_t i = 0; i < tokens.size(); ++i) positions.push_back(position++);
  segments.push_back({begin, num_tokens(), parent});
  return static_cast<int64_t>(segments.size()) - 1;
}

}  // namespace etrlrec
