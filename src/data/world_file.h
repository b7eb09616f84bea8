// The rules of a synthetic world in world.json. Reading trusts nothing: every index, probability
// and length is checked before use.
#pragma once

#include <filesystem>

#include "data/synthetic.h"

namespace etrlrec {

void save_world(const World& world, const std::filesystem::path& folder);
World load_world(const std::filesystem::path& folder);  // without its data set

}  // namespace etrlrec
