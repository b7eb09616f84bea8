// A language model that judges the reasonings of rollouts (method.md G.3 (6)): behind an endpoint,
// which answers with a score, or a local model folder, whose score is the mean over its
// probabilities of the scores 0, 100 … 1000. What was judged once is kept in a file and never asked
// again.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "method/memory_estimate.h"
#include "nn/numerics.h"
#include "remote/chat_client.h"
#include "text/chat_message.h"

namespace etrlrec {

struct JudgeOptions {
  std::string kind;                     // endpoint | local; empty: nobody judges
  std::string model;                    // endpoint: its name there; local: a model folder
  std::string dtype = "float32";        // local: of the weights
  std::string domain = "auto";          // of the words in the question; auto: guess_domain
  bool fact_sheet = true;               // the question lists counted facts
  bool reveal = false;                  // the target, the answer and the recommender's scores (A.6)
  std::string calls;                    // file of what was judged; empty: judge_calls.jsonl in out
  std::vector<std::string> parameters;  // endpoint: NAME=JSON, sent with each call
  EndpointOptions endpoint{.timeout_seconds = 60, .max_attempts = 2, .max_failures = 50};

  bool is_asked() const { return !kind.empty(); }
};
// Errors (kUsage): no model, an endpoint without address, a parameter that is no NAME=JSON; kModel
// for a local model that cannot be opened or is an encoder-decoder model.
void check_judge(const JudgeOptions& options, const Numerics& numerics);
// Adds the weights of a local judge.
void add_judge(const JudgeOptions& options, MemoryEstimate& estimate);

class Judge {
 public:
  virtual ~Judge() = default;
  // In [0, 1], in the order of the questions; nothing where a judge said nothing in time, or
  // something else than a score. Errors: kTeacher where an endpoint refuses all calls or too many
  // fail in a row, kResumable where the budget is used up; what was judged is kept.
  virtual std::vector<std::optional<double>> scores(
      std::span<const std::vector<ChatMessage>> questions) = 0;
};
// The options are checked. `calls` is created where it is missing.
std::unique_ptr<Judge> make_judge(const JudgeOptions& options, const Numerics& numerics,
                                  const std::filesystem::path& calls);

}  // namespace etrlrec
