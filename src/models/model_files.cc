#include "models/model_files.h"

#include <algorithm>
#include <string>

#include "base/check.h"
#include "base/json.h"
#include "models/decoder.h"
#include "models/recommenders.h"
#include "models/t5.h"

namespace etrlrec {
namespace {

namespace fs = std::filesystem;

using Reader = std::unique_ptr<LanguageModel> (*)(const fs::path& folder, Storage storage,
                                                  const Numerics& numerics);

void check_t5_storage(const fs::path& folder, Storage storage) {
  CHECK(storage == Storage::kFloat, kUsage,
        "{}: --dtype: encoder-decoder models are computed in float32 only", folder.string());
}

std::unique_ptr<LanguageModel> open_one_decoder(const fs::path& folder, Storage storage,
                                                const Numerics& numerics) {
  return open_decoder(folder, storage, numerics);
}
std::unique_ptr<LanguageModel> load_one_decoder(const fs::path& folder, Storage storage,
                                                const Numerics& numerics) {
  return load_decoder(folder, storage, numerics);
}
std::unique_ptr<LanguageModel> open_one_t5(const fs::path& folder, Storage storage,
                                           const Numerics& numerics) {
  check_t5_storage(folder, storage);
  return open_t5(folder, numerics);
}
std::unique_ptr<LanguageModel> load_one_t5(const fs::path& folder, Storage storage,
                                           const Numerics& numerics) {
  check_t5_storage(folder, storage);
  return load_t5(folder, numerics);
}

struct Family {
  const char* model_type;
  Reader open, load;
};
constexpr Family kFamilies[] = {
    {"llama", open_one_decoder, load_one_decoder},
    {"mistral", open_one_decoder, load_one_decoder},
    {"qwen2", open_one_decoder, load_one_decoder},
    {"qwen3", open_one_decoder, load_one_decoder},
    {"t5", open_one_t5, load_one_t5},
};

const Family& family_of(const fs::path& folder) {
  const std::string name = (folder / "config.json").string();
  const auto type = get<std::string>(read_json(name), "model_type", name);
  std::string known;
  for (const Family& family : kFamilies) {
    if (type == family.model_type) return family;
    known += std::string(known.empty() ? "" : ", ") + family.model_type;
  }
  fail(ExitCode::kModel, "{}: model_type: expected one of {}, found {}", name, known, type);
}

}  // namespace

bool is_language_model_folder(const fs::path& folder) {
  const fs::path config = folder / "config.json";
  if (!fs::exists(config)) return false;
  const auto type = get<std::string>(read_json(config), "model_type", config.string());
  const auto types = recommender_types();
  return std::none_of(types.begin(), types.end(), [&](const RecommenderType* recommender) {
    return type == recommender->name;
  });
}

std::unique_ptr<LanguageModel> open_language_model(const fs::path& folder, Storage storage,
                                                   const Numerics& numerics) {
  return family_of(folder).open(folder, storage, numerics);
}

std::unique_ptr<LanguageModel> load_language_model(const fs::path& folder, Storage storage,
                                                   const Numerics& numerics) {
  return family_of(folder).load(folder, storage, numerics);
}

}  // namespace etrlrec
