// From the files of a model folder to a tokenizer.
#include "text/tokenizer.h"

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "text/char_bpe.h"
#include "text/tokenizer_file.h"

namespace etrlrec {
namespace {

constexpr uint64_t kMaxFileBytes = uint64_t{256} << 20;

// The file that names the end token: tokenizer_config.json or special_tokens_map.json, "" if none.
std::string read_config(const fs::path& folder) {
  for (const char* file : {"tokenizer_config.json", "special_tokens_map.json"}) {
    if (!fs::exists(folder / file)) continue;
    std::string config = read_file(folder / file, kMaxFileBytes);
    const Json root = parse_json(config, (folder / file).string());
    if (root.is_object() && !absent(root, "eos_token")) return config;
  }
  return "";
}

// Byte-level BPE says so in its decoder or its pre-tokenizer; the default, whose errors are then
// about what is missing.
bool is_byte_level(const Json& root) {
  if (root.contains("decoder") && type_of(root["decoder"]) == "ByteLevel") return true;
  if (!absent(root, "pre_tokenizer") && type_of(root["pre_tokenizer"]) == "Metaspace") return false;
  const bool has_model = root.contains("model") && root["model"].is_object();
  return !has_model || absent(root["model"], "byte_fallback") ||
         root["model"]["byte_fallback"] == false;
}

std::unique_ptr<Tokenizer> read_tokenizer(const Json& root, std::string_view config,
                                          const std::string& name) {
  CHECK(root.is_object(), kInput, "{}: expected an object", name);
  if (is_byte_level(root)) return read_byte_level(root, config, name);
  return read_char_bpe(root, config, name);
}

}  // namespace

std::unique_ptr<Tokenizer> parse_tokenizer(std::string_view json, std::string_view config,
                                           const std::string& name) {
  const Json root = parse_json(json, name);
  try {
    return read_tokenizer(root, config, name);
  } catch (const nlohmann::json::exception& error) {
    fail(ExitCode::kInput, "{}: {}", name, error.what());
  }
}

std::unique_ptr<Tokenizer> load_tokenizer(const fs::path& folder) {
  const fs::path path = folder / "tokenizer.json";
  CHECK(fs::exists(path), kInput, "{}: no tokenizer.json", folder.string());
  return parse_tokenizer(read_file(path, kMaxFileBytes), read_config(folder), path.string());
}

}  // namespace etrlrec
