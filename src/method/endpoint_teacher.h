// The teacher "endpoint": an OpenAI-compatible chat model behind a base URL, whose answers are kept
// in a file of calls.
#pragma once

#include <filesystem>
#include <memory>

#include "method/construct_options.h"
#include "method/reply_source.h"

namespace etrlrec {

// `calls`: the file of calls. The options are checked (check_llm_options).
std::unique_ptr<ReplySource> endpoint_teacher(const LlmTeacherOptions& options,
                                              const std::filesystem::path& calls);

}  // namespace etrlrec
