// SHA-256 for content hashes of artefacts, computed by OpenSSL.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace etrlrec {

std::string sha256_hex(std::string_view bytes);  // 64 lower-case digits
std::string sha256_file(const std::filesystem::path& path);

}  // namespace etrlrec
