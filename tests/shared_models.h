// Where the tokenizers and tiny checkpoints lie that tests read in place and skip without.
#pragma once

#include <string>

namespace etrlrec {

inline const std::string kModels = std::string(ETRLREC_SOURCE_DIR) + "/../shared/models/";

}  // namespace etrlrec
