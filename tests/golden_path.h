// Where golden files are: small random models and inputs with the outputs of Transformers, PEFT,
// TRL and torch, made by tools/make_golden.py.
#pragma once

#include <cstdlib>
#include <filesystem>

namespace etrlrec {

// tests/golden of the sources. ETRLREC_GOLDEN names another folder of the same layout, so that the
// same tests run on larger models.
inline std::filesystem::path golden_path() {
  const char* other = std::getenv("ETRLREC_GOLDEN");
  return other != nullptr ? std::filesystem::path(other)
                          : std::filesystem::path(ETRLREC_SOURCE_DIR) / "tests/golden";
}

}  // namespace etrlrec
