#include "models/model_files.h"

#include <string>

#include "base/check.h"
#include "base/json.h"
#include "models/decoder.h"
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

const Family* find_family(const std::string& type) {
  for (const Family& family : kFamilies)
    if (type == family.model_type) return &family;
  return nullptr;
}

const Family& family_of(const fs::path& folder) {
  const std::string name = (folder / "config.json").string();
  const auto type = get<std::string>(read_json(name), "model_type", name);
  const Family* family = find_family(type);
  std::string known;
  for (const Family& one : kFamilies)
    known += std::string(known.empty() ? "" : ", ") + one.model_type;
  CHECK(family != nullptr, kModel, "{}: model_type: expected one of {}, found {}", name, known,
        type);
  return *family;
}

}  // namespace

bool is_language_model_folder(const fs::path& folder) {
  const fs::path path = folder / "config.json";
  if (!fs::exists(path)) return false;
  const Json json = read_json(path);
  return json.is_object() && json.contains("model_type") && json["model_type"].is_string() &&
         find_family(json["model_type"].get<std::string>()) != nullptr;
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
