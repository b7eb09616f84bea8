#include "eval/asking.h"

#include <algorithm>
#include <cmath>

#include "eval/calibration.h"
#include "temporal/encoding.h"
#include "temporal/row_view.h"

namespace etrlrec {

Prediction new_prediction(const Request& request, int64_t row) {
  Prediction prediction;
  prediction.row = row;
  prediction.user = request.user;
  prediction.target_slot = request.target_slot;
  return prediction;
}

std::string decode_reasoning(const Asked& asked, const Completion& completion) {
  return asked.tokenizer().decode(
      std::span(completion.ids).first(static_cast<size_t>(completion.reasoning_tokens)));
}

std::vector<int64_t> prompt_ids(const PromptEncoder& encoder, const Request& request,
                                const PromptOptions& options) {
  return RowView(encoder.catalogue, nullptr, request, options)
      .encoding(encoder.tokenizer, encoder.before, encoder.after);
}

int32_t largest_choice(std::span<const Request> requests) {
  size_t most = 0;
  for (const Request& request : requests) most = std::max(most, request.candidates.size());
  return static_cast<int32_t>(most);
}

std::vector<GenerationRequest> generation_requests(const Asked& asked,
                                                   std::span<const Request> requests,
                                                   const ProtocolOptions& options, int32_t most) {
  std::vector<GenerationRequest> prompts;
  prompts.reserve(requests.size());
  for (size_t r = 0; r < requests.size(); ++r) {
    // The same titles as before, e.g. of a whole catalogue, are not encoded again; behind a
    // reasoning they have a lead of their own.
    if (r > 0 && options.prompt.answer == AnswerKind::kTitle && !options.prompt.reasoning &&
        requests[r].candidates == requests[r - 1].candidates) {
      Answers answers = prompts.back().answers;
      prompts.push_back(
          {prompt_ids(asked.encoder, requests[r], options.prompt), std::move(answers)});
    } else {
      prompts.push_back(generation_request(asked.encoder, requests[r], options.prompt, most));
    }
  }
  return prompts;
}

std::vector<Completion> generate_for(const Asked& asked, std::span<const Request> requests,
                                     const ProtocolOptions& options,
                                     const GenerationOptions& generation, int32_t most) {
  return generate(asked.model, generation_requests(asked, requests, options, most), generation);
}

std::vector<double> answer_probabilities(const Completion& completion, const Request& request,
                                         const ProtocolOptions& options) {
  std::vector<double> values(completion.answer_logprobs.begin(), completion.answer_logprobs.end());
  if (options.new_items) {
    for (double& value : values) value += completion.answer_mass;
    values = options.new_items->probabilities(request.candidates, values, request.now);
  } else {
    for (double& value : values) value = std::exp(value);
  }
  apply_temperature(values, options.temperature);
  return values;
}

GenerationRequest generation_request(const PromptEncoder& encoder, const Request& request,
                                     const PromptOptions& options, int32_t most_candidates) {
  GenerationRequest result;
  result.prompt = prompt_ids(encoder, request, options);
  result.answers =
      encode_answers(encoder.tokenizer, answer_texts(encoder.catalogue, request, options), options,
                     most_candidates)
          .answers;
  return result;
}

GenerationOptions generation_options(const Tokenizer& tokenizer, const ProtocolOptions& options,
                                     int32_t most_candidates) {
  GenerationOptions generation;
  generation.sampling.temperature = 0;
  generation.sampling.seed = options.seed;
  generation.answer_mass = options.new_items != nullptr;
  const AnswerEncoding encoding =
      encode_answers(tokenizer, {}, options.prompt, std::max(most_candidates, 1));
  generation.format.close = encoding.close;
  generation.format.finish = encoding.finish;
  generation.format.max_reasoning_tokens =
      options.prompt.reasoning ? options.max_reasoning_tokens : 0;
  generation.eos_ids = {tokenizer.eos_id()};
  return generation;
}

}  // namespace etrlrec
