#include "method/judge.h"

#include <torch/types.h>

#include <utility>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "engine/scoring.h"
#include "method/llm_rows.h"
#include "method/local_teacher.h"
#include "method/model_folder.h"
#include "remote/call_store.h"
#include "remote/http_client.h"
#include "temporal/guidance.h"
#include "temporal/judge_text.h"

namespace etrlrec {
namespace {

constexpr int64_t kScoreTokens = 32;  // of an answer without thinking
constexpr int32_t kLocalStep = 100;   // between the scores that a local judge weighs
constexpr const char* kLocalHead = "{\"score\":";

std::string judge_parameters(const JudgeOptions& options) {
  return call_parameters({{"temperature", 0}, {"max_tokens", kScoreTokens}}, options.parameters,
                         "--judge-parameter");
}

class EndpointJudge : public Judge {
 public:
  EndpointJudge(const JudgeOptions& options, const fs::path& calls)
      : model_(options.model),
        parameters_(judge_parameters(options)),
        asks_again_(options.endpoint.retry_failed),
        store_(calls),
        client_(options.endpoint, store_) {}

  std::vector<std::optional<double>> scores(
      std::span<const std::vector<ChatMessage>> questions) override {
    std::vector<ChatCall> calls, open;
    for (const auto& messages : questions) {
      const ChatCall& call = calls.emplace_back(ChatCall{model_, messages, parameters_});
      // What failed once stays missing, or a continued run would have other rewards.
      const std::string key = call_key(call);
      if (!store_.reply(key) && (asks_again_ || !store_.failure(key))) open.push_back(call);
    }
    if (!open.empty()) client_.answer(open);
    std::vector<std::optional<double>> scores;
    for (const ChatCall& call : calls) {
      const auto reply = store_.reply(call_key(call));
      const auto score = reply ? read_judge_score(reply->text) : std::nullopt;
      scores.push_back(score ? std::optional(static_cast<double>(*score) / kBestScore)
                             : std::nullopt);
    }
    return scores;
  }

 private:
  std::string model_, parameters_;
  bool asks_again_;
  CallStore store_;
  ChatClient client_;
};

class LocalJudge : public Judge {
 public:
  LocalJudge(const JudgeOptions& options, const Numerics& numerics)
      : loaded_(load_local(options, numerics)) {
    for (int32_t score = 0; score <= kBestScore; score += kLocalStep)
      answers_.push_back(loaded_.tokenizer->encode(fmt::format(" {}}}", score)));
  }

  std::vector<std::optional<double>> scores(
      std::span<const std::vector<ChatMessage>> questions) override {
    int64_t longest = 0;
    for (const auto& answer : answers_) longest = std::max(longest, std::ssize(answer));
    std::vector<std::optional<double>> scores(questions.size());
    std::vector<std::vector<int64_t>> prefixes;
    std::vector<size_t> asked;
    for (size_t q = 0; q < questions.size(); ++q) {
      auto ids = prompt_of(loaded_, questions[q], kLocalHead);
      if (std::ssize(ids) + longest > loaded_.model->max_length()) continue;
      prefixes.push_back(std::move(ids));
      asked.push_back(q);
    }
    if (asked.empty()) return scores;
    const at::NoGradGuard no_grad;
    const std::vector<Answers> answers(asked.size(), answers_);
    const auto logprobs = answer_logprobs(*loaded_.model, prefixes, answers);
    const at::Tensor values = at::arange(std::ssize(answers_), at::kDouble) * kLocalStep;
    for (size_t i = 0; i < asked.size(); ++i)
      scores[asked[i]] =
          at::dot(logprobs[i].to(at::kDouble).exp(), values).item<double>() / kBestScore;
    return scores;
  }

 private:
  static LoadedModel load_local(const JudgeOptions& options, const Numerics& numerics) {
    LoadedModel loaded = open_model_folder(options.model, "", options.dtype, numerics);
    load_weights_of(loaded);
    return loaded;
  }

  LoadedModel loaded_;
  Answers answers_;
};

}  // namespace

void check_judge(const JudgeOptions& options, const Numerics& numerics) {
  if (!options.is_asked()) return;
  CHECK(options.kind == "endpoint" || options.kind == "local", kUsage,
        "--judge: expected endpoint or local, found \"{}\"", options.kind);
  CHECK(!options.model.empty(), kUsage, "--judge {}: expected --judge-model, its {}", options.kind,
        options.kind == "local" ? "folder" : "name at the endpoint");
  if (options.domain != "auto") guidance_texts(options.domain);
  if (options.kind == "endpoint") {
    CHECK(!options.endpoint.base_url.empty(), kUsage,
          "--judge endpoint: expected --base-url, e.g. http://localhost:8000/v1");
    parse_base_url(options.endpoint.base_url);
    judge_parameters(options);
    return;
  }
  const LoadedModel model = open_model_folder(options.model, "", options.dtype, numerics);
  CHECK(!model.model->has_encoder(), kUsage,
        "--judge-model: {} is an encoder-decoder model (T5), which cannot judge", options.model);
}

void add_judge(const JudgeOptions& options, MemoryEstimate& estimate) {
  if (options.kind != "local") return;
  const LoadedModel model = open_model_folder(options.model, "", options.dtype);
  estimate.parts.emplace_back("judge", weights_bytes(*model.model));
}

std::unique_ptr<Judge> make_judge(const JudgeOptions& options, const Numerics& numerics,
                                  const fs::path& calls) {
  if (options.kind == "local") return std::make_unique<LocalJudge>(options, numerics);
  if (calls.has_parent_path()) fs::create_directories(calls.parent_path());
  return std::make_unique<EndpointJudge>(options, calls);
}

}  // namespace etrlrec
