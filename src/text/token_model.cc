#include "text/token_model.h"

#include <algorithm>

#include "base/check.h"
#include "base/json.h"

namespace etrlrec {
namespace {

constexpr int64_t kMaxIds = int64_t{1} << 21;
constexpr size_t kMaxBytes = size_t{1} << 25;

}  // namespace

void ModelVocabulary::add(const std::string& token, int64_t id, const std::string& name) {
  CHECK(id >= 0 && id < kMaxIds, kInput,
        "{}: model.vocab: token \"{}\": id {} is out of range [0, {})", name, token, id, kMaxIds);
  const auto at = static_cast<size_t>(id);
  if (at >= texts_.size()) {
    texts_.resize(at + 1);
    is_used_.resize(at + 1);
  }
  bytes_ += token.size();
  CHECK(bytes_ <= kMaxBytes, kInput, "{}: model.vocab: expected at most {} bytes of tokens", name,
        kMaxBytes);
  CHECK(!is_used_[at], kInput, "{}: token id {} occurs twice", name, id);
  texts_[at] = token;
  is_used_[at] = true;
  ids_.insert_or_assign(token, static_cast<uint32_t>(id));
  longest_ = std::max(longest_, token.size());
}

ModelVocabulary ModelVocabulary::of_object(const Json& model, const std::string& name) {
  CHECK(model.contains("vocab") && model["vocab"].is_object(), kInput,
        "{}: model.vocab: expected an object", name);
  ModelVocabulary out;
  out.ids_.reserve(model["vocab"].size());
  for (const auto& [token, id] : model["vocab"].items()) {
    CHECK(id.is_number_integer(), kInput, "{}: token \"{}\": expected an integer id", name, token);
    out.add(token, id.get<int64_t>(), name);
  }
  return out;
}

uint32_t ModelVocabulary::find(std::string_view token) const {
  const auto found = ids_.find(token);
  return found == ids_.end() ? kNone : found->second;
}

}  // namespace etrlrec
