// The teacher "local": a model folder that writes through this program's engine, many rows at a
// time. The contract of the answer is kept by force: the reasoning ends with its budget at the
// latest, and the answer is chosen among the candidates' numbers.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "method/construct_options.h"
#include "method/model_folder.h"
#include "method/reply_source.h"
#include "text/chat_message.h"

namespace etrlrec {

// A chat of a model folder as token ids, the assistant's part begun with `begun`; where the folder
// has no chat template, the messages as they are, one after the other.
std::vector<int64_t> prompt_of(const LoadedModel& model, std::span<const ChatMessage> messages,
                               std::string_view begun);

// Loads the weights. `calls`: the file of calls, opened when somebody asks, in which the model
// stands under the hash of its files. A reasoning that its budget ended is cut after its last
// sentence; one without any is a reply of the finish reason "length". Calls whose prompt leaves no
// room are failures. The options are checked (check_llm_options).
std::unique_ptr<ReplySource> local_teacher(const ConstructOptions& options,
                                           const std::filesystem::path& calls);

}  // namespace etrlrec
