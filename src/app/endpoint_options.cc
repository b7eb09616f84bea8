#include "app/endpoint_options.h"

#include "app/command_line.h"

namespace etrlrec {

void add_endpoint_options(Command& command, const EndpointGroup& group, EndpointOptions& endpoint,
                          EndpointCommand& given, std::vector<std::string>& parameters) {
  const auto add = [&](const std::string& name, auto& value, const std::string& help) {
    return command.add_option(name, value, help)
        .group(group.group)
        .only_with(group.what, group.holds);
  };
  add("--base-url", endpoint.base_url,
      "of an OpenAI-compatible server, e.g. http://localhost:8000/v1");
  add("--api-key-file", given.api_key_file, "file that holds the key").existing_file();
  add("--api-key-env", given.api_key_env, "environment variable that holds the key, else");
  add("--ca-file", endpoint.ca_file, "certificates (PEM) that are trusted instead of the system's")
      .existing_file();
  add(group.parameter, parameters,
      "NAME=JSON that each call sends, too; null takes one out; repeatable")
      .repeatable();
  add("--concurrency", endpoint.concurrency, "calls at a time").range(1, 1024);
  add("--requests-per-minute", endpoint.requests_per_minute, "0: no limit").at_least(0);
  add("--tokens-per-minute", endpoint.tokens_per_minute, "asked and answered; 0: no limit")
      .at_least(0);
  add("--max-tokens-total", endpoint.budget.max_tokens,
      "budget of all runs in this folder, asked and answered; 0: no limit")
      .at_least(0);
  add("--max-money", endpoint.budget.max_money, "the same in money; 0: no limit").at_least(0);
  add("--price-prompt", endpoint.budget.prices.prompt, "money per million tokens asked")
      .at_least(0);
  add("--price-completion", endpoint.budget.prices.completion, "money per million tokens answered")
      .at_least(0);
  add("--timeout", endpoint.timeout_seconds, "seconds of one call").at_least(0.001);
  add("--max-attempts", endpoint.max_attempts,
      "of one call; connections, 408, 409, 429 and 5xx are tried again")
      .range(1, 100);
  add("--retry-seconds", endpoint.retry_seconds, "first pause between attempts; it doubles, to 60")
      .at_least(0);
  add("--max-failures", endpoint.max_failures, "failed calls in a row that end the run")
      .range(1, 1000000);
  command
      .add_flag("--retry", endpoint.retry_failed, "also make the calls that were refused for good")
      .group(group.group)
      .only_with(group.what, group.holds);
}

}  // namespace etrlrec
