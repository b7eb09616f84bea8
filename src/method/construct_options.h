// The options of stage 1: who teaches, how often it is asked, and what of its reasoning is kept.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nn/numerics.h"
#include "remote/chat_client.h"
#include "temporal/prompts.h"

namespace etrlrec {

// Of teachers that write free text: endpoint, local and file.
struct LlmTeacherOptions {
  std::string model;            // endpoint: its name there; local: a model folder
  std::string file;             // file: JSONL that was made elsewhere
  std::string domain = "auto";  // of the guidance; auto: guess_domain
  std::string guidance;         // a file with other texts (read_guidance)
  bool fact_sheet = true;
  // What a student reads: whole, the teacher's words (style natural); claims, the true claims in
  // the words of the style; auto: whole where the style is natural.
  std::string reasoning = "auto";
  int64_t max_new_tokens = 1024;
  double top_p = 1;
  std::vector<std::string> parameters;  // NAME=JSON, sent with each call; null takes one out
  EndpointOptions endpoint;
  std::string dtype = "float32";   // local: of the weights
  std::string student;             // folder of an untuned student; empty: it is not asked
  bool usefulness_filter = false;  // a reasoning must help the student by min_usefulness nats
  double min_usefulness = 0;
  int64_t max_completion_tokens = 512;  // of the student; 16 of them stay free
};

struct ConstructOptions {
  std::string data, out;
  std::string teacher = "program";  // program | endpoint | local | file
  int32_t draws = 4, hinted_draws = 2;
  std::string hint_policy =
      "fallback";  // fallback: hinted draws only where all others were rejected | never | always
  double temperature = 1.0;
  bool filter_answer = true;    // only draws that answer with the target are kept
  double min_precision = 0.9;   // of the claims
  int32_t max_per_row = 1;      // kept draws of one row, all different
  int32_t max_history = 0;      // entries of a prompt, 0: usual_history(answer)
  bool with_times = true;       // false: no claim about gaps or the season
  bool with_attributes = true;  // false: prompts show titles alone; claims speak of attributes
  std::string style = PromptOptions{}.style;
  AnswerKind answer = AnswerKind::kTitle;  // kNumber: the contract of ETRLRec
  Knowledge knowledge = Knowledge::kNone;  // besides history and candidates
  std::string recommender;  // folder of fit --train-share, where the knowledge has a pattern
  int32_t knowledge_items = PromptOptions{}.knowledge_items;
  bool list_candidates = false;  // of answers by title: the prompt names them
  Numerics numerics;             // of the recommender, and of a local teacher
  int64_t limit = 0;             // rows, drawn by the seed; 0: all
  uint64_t seed = 42;
  bool messages = false;  // messages.jsonl, too
  LlmTeacherOptions llm;
};

}  // namespace etrlrec
