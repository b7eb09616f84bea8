// Options of an OpenAI-compatible endpoint, which teachers and judges share.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "remote/chat_client.h"

namespace etrlrec {

class Command;

struct EndpointCommand {
  std::string api_key_file, api_key_env = "ETRLREC_API_KEY";
};
// All of them in the help's `group`, only where `holds`, which `what` says in words. `parameter`:
// the name of the option that fills `parameters`.
struct EndpointGroup {
  std::string group, what, parameter;
  std::function<bool()> holds;
};
// `endpoint`, `given` and `parameters` outlive the command.
void add_endpoint_options(Command& command, const EndpointGroup& group, EndpointOptions& endpoint,
                          EndpointCommand& given, std::vector<std::string>& parameters);

}  // namespace etrlrec
