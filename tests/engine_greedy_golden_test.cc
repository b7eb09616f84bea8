// Greedy generation against Transformers on every family: end tokens, least length, repetition
// penalty, n-grams that must not repeat.
#include <gtest/gtest.h>

#include <filesystem>

#include "base/json.h"
#include "engine/engine.h"
#include "golden_path.h"
#include "models/decoder.h"

namespace etrlrec {
namespace {

const std::filesystem::path kDecoders = golden_path() / "decoders";

std::vector<GenerationRequest> golden_requests(const Json& ids, const Json& mask) {
  std::vector<GenerationRequest> requests;
  for (size_t r = 0; r < ids.size(); ++r) {
    requests.push_back({});
    for (size_t t = 0; t < ids[r].size(); ++t)
      if (mask[r][t] == 1) requests.back().prompt.push_back(ids[r][t]);
  }
  return requests;
}

GenerationOptions golden_options(const Json& golden) {
  GenerationOptions options;
  options.sampling.temperature = 0;
  options.max_new_tokens = static_cast<int64_t>(golden["new_tokens"][0].size());
  const Json& eos = golden["eos_token_id"];
  if (eos.is_number()) options.eos_ids = {eos.get<int64_t>()};
  if (eos.is_array()) options.eos_ids = eos.get<std::vector<int64_t>>();
  for (const auto& [key, value] : golden["options"].items()) {
    if (key == "min_new_tokens")
      options.min_new_tokens = value;
    else if (key == "repetition_penalty")
      options.sampling.repetition_penalty = value;
    else if (key == "no_repeat_ngram_size")
      options.sampling.no_repeat_ngram_size = value;
    else
      ADD_FAILURE() << "unknown option " << key;
  }
  return options;
}

TEST(GenerateGolden, gives_the_greedy_tokens_of_transformers) {
  for (const char* name : {"qwen2", "qwen3", "llama-tied", "llama3-untied", "mistral-swa"}) {
    const auto model = load_decoder(kDecoders / name);
    const Json generation = read_json(kDecoders / name / "golden.json")["generation"];
    int kinds = 0, ended = 0;
    for (const auto& [kind, golden] : generation.items()) {
      if (!kind.starts_with("greedy_")) continue;
      SCOPED_TRACE(std::string(name) + " " + kind);
      ++kinds;
      const auto requests = golden_requests(
          golden.contains("input_ids") ? golden["input_ids"] : generation["input_ids"],
          generation["attention_mask"]);
      const auto found = generate(*model, requests, golden_options(golden));
      for (size_t r = 0; r < found.size(); ++r) {
        const auto expected = golden["new_tokens"][r].get<std::vector<int64_t>>();
        const size_t length = found[r].ids.size();
        ASSERT_LE(length, expected.size());
        EXPECT_EQ(
            found[r].ids,
            std::vector<int64_t>(expected.begin(), expected.begin() + static_cast<int64_t>(length)))
            << r;
        // behind the end the reference fills with padding, token 0
        for (size_t t = length; t < expected.size(); ++t) EXPECT_EQ(expected[t], 0) << r;
        ended += length < expected.size();
      }
    }
    EXPECT_EQ(kinds, 7);
    EXPECT_GE(ended, 4);
  }
}

}  // namespace
}  // namespace etrlrec
