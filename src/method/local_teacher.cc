#include "method/local_teacher.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/sha256.h"
#include "engine/engine.h"
#include "method/model_folder.h"
#include "temporal/answer_tags.h"
#include "temporal/encoding.h"
#include "temporal/prompts.h"

namespace etrlrec {
namespace {

constexpr int64_t kCallsTogether = 512, kStoredTogether = 64;

// Of configuration, tokenizer and weights: another model under the same name is another teacher.
std::string model_identity(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string extension = entry.path().extension();
    if (entry.is_regular_file() && (extension == ".safetensors" || extension == ".json" ||
                                    extension == ".model" || extension == ".jinja"))
      files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  std::string hashes;
  for (const fs::path& file : files) {
    const std::string name = file.filename();
    if (name == "run.json") continue;  // how it was made, not what it is
    hashes += name + " " + sha256_file(file) + "\n";
  }
  return last_name(folder) + "@" + sha256_hex(hashes).substr(0, 16);
}

// Up to the end of the last whole sentence; empty where there is none.
std::string_view whole_sentences(std::string_view text) {
  const size_t end = text.find_last_of(".!?");
  return end == text.npos ? std::string_view() : text.substr(0, end + 1);
}

class LocalTeacher : public ReplySource {
 public:
  LocalTeacher(const ConstructOptions& options, const fs::path& calls)
      : options_(options),
        calls_(calls),
        loaded_(open_model_folder(options.llm.model, "", options.llm.dtype, options.numerics)),
        model_(model_identity(options.llm.model)) {
    if (!loaded_.chat)
      log_warning("{}: no chat template; the guidance stands in front of the reasoning as it is",
                  options.llm.model);
    load_weights_of(loaded_);
  }

  std::string model() const override { return model_; }
  int64_t batch() const override { return kCallsTogether; }
  void go_offline() override { offline_ = true; }

  std::vector<TeacherText> replies(std::span<const TeacherCall> calls) override {
    if (!store_) store_.emplace(calls_);
    std::vector<TeacherCall> left;
    for (const TeacherCall& call : calls)
      if (!offline_ && !store_->reply(call_key(call.call))) left.push_back(call);
    for (size_t begin = 0; begin < left.size(); begin += kStoredTogether)
      write(std::span(left).subspan(begin, std::min<size_t>(kStoredTogether, left.size() - begin)));
    return stored_replies(*store_, calls);
  }

 private:
  // Texts of equal numbers of candidates share their closing tags.
  AnswerEncoding answers_of(int32_t candidates) const {
    std::vector<std::string> texts;
    for (int32_t k = 1; k <= candidates; ++k) texts.push_back(fmt::format(" {}", k));
    return encode_answers(*loaded_.tokenizer, texts, {.style = "compact"});
  }

  void write(std::span<const TeacherCall> calls) {
    const int32_t candidates = calls.front().candidates;
    const AnswerEncoding encoding = answers_of(candidates);
    std::vector<GenerationRequest> requests;
    std::vector<const TeacherCall*> asked;
    for (const TeacherCall& call : calls) {
      GenerationRequest request{prompt_of(loaded_, call.call.messages, kReasoningOpen), {}};
      CHECK(call.candidates == candidates, kInput,
            "teacher: expected rows with {} candidates, found {}", candidates, call.candidates);
      request.answers = encoding.answers;
      const int64_t length = std::ssize(request.prompt) + options_.llm.max_new_tokens + 16;
      if (length > loaded_.model->max_length()) {
        store_->add_failure(call_key(call.call),
                            {0,
                             fmt::format("prompt and reasoning need {} tokens, the model has {}",
                                         length, loaded_.model->max_length()),
                             1, true});
        continue;
      }
      requests.push_back(std::move(request));
      asked.push_back(&call);
    }
    if (requests.empty()) return;
    GenerationOptions generation;
    generation.sampling.temperature = options_.temperature;
    generation.sampling.top_p = options_.llm.top_p;
    generation.sampling.seed = options_.seed + static_cast<uint64_t>(calls.front().call.draw);
    generation.format = {encoding.close, encoding.finish, options_.llm.max_new_tokens};
    generation.eos_ids = loaded_.model->eos_ids();
    const auto completions = generate(*loaded_.model, requests, generation);
    for (size_t i = 0; i < asked.size(); ++i)
      store_->add(asked[i]->call, call_key(asked[i]->call),
                  reply_of(completions[i], std::ssize(requests[i].prompt)));
  }

  ChatReply reply_of(const Completion& completion, int64_t prompt_tokens) const {
    std::vector<int64_t> ids(completion.ids.begin(),
                             completion.ids.begin() + completion.reasoning_tokens);
    const auto& ends = loaded_.model->eos_ids();
    std::erase_if(
        ids, [&](int64_t id) { return std::find(ends.begin(), ends.end(), id) != ends.end(); });
    std::string reasoning = loaded_.tokenizer->decode(ids);
    ChatReply reply;
    reply.finish_reason = "stop";
    if (completion.forced_close) {
      reasoning = whole_sentences(reasoning);
      if (reasoning.empty()) reply.finish_reason = "length";
    }
    reply.text = fmt::format("{}{}{}{} {}{}", kReasoningOpen, reasoning, kReasoningClose,
                             kAnswerOpen, completion.answer + 1, kAnswerClose);
    reply.usage = {prompt_tokens, std::ssize(completion.ids)};
    return reply;
  }

  const ConstructOptions& options_;
  fs::path calls_;
  std::optional<CallStore> store_;  // once somebody asks: its folder may not be there before
  LoadedModel loaded_;
  std::string model_;
  bool offline_ = false;
};

}  // namespace

std::vector<int64_t> prompt_of(const LoadedModel& model, std::span<const ChatMessage> messages,
                               std::string_view begun) {
  const Tokenizer& tokenizer = *model.tokenizer;
  std::vector<int64_t> ids;
  if (model.chat) {
    ids = model.virtual_tokens;
    const auto chat = encode_chat(tokenizer, render_chat(*model.chat, messages, true));
    ids.insert(ids.end(), chat.begin(), chat.end());
  } else {
    std::string text;
    for (const ChatMessage& message : messages) text += message.content + "\n\n";
    ids = model.encode_raw(text, false);
  }
  const auto open = tokenizer.encode(begun);
  ids.insert(ids.end(), open.begin(), open.end());
  return ids;
}

std::unique_ptr<ReplySource> local_teacher(const ConstructOptions& options, const fs::path& calls) {
  return std::make_unique<LocalTeacher>(options, calls);
}

}  // namespace etrlrec
