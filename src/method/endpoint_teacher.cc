#include "method/endpoint_teacher.h"

#include <algorithm>
#include <vector>

#include "base/log.h"

namespace etrlrec {
namespace {

class EndpointTeacher : public ReplySource {
 public:
  EndpointTeacher(const LlmTeacherOptions& options, const std::filesystem::path& calls)
      : model_(options.model),
        batch_(std::max<int64_t>(512, 64 * int64_t{options.endpoint.concurrency})),
        store_(calls),
        client_(options.endpoint, store_) {}
  ~EndpointTeacher() override {
    const EndpointCounts& counts = client_.counts();
    if (counts.requests == 0) return;
    log_info(
        "endpoint: {} answered, {} failed, {} taken from before; {} requests, {} of them "
        "retries; {}",
        counts.answered, counts.failed, counts.from_store, counts.requests, counts.retries,
        client_.budget().text());
  }

  std::string model() const override { return model_; }
  int64_t batch() const override { return batch_; }
  void go_offline() override { offline_ = true; }

  std::vector<TeacherText> replies(std::span<const TeacherCall> calls) override {
    if (!offline_) {
      std::vector<ChatCall> asked;
      for (const TeacherCall& call : calls) asked.push_back(call.call);
      client_.answer(asked);
    }
    return stored_replies(store_, calls);
  }

 private:
  std::string model_;
  int64_t batch_;
  CallStore store_;
  ChatClient client_;
  bool offline_ = false;
};

}  // namespace

std::unique_ptr<ReplySource> endpoint_teacher(const LlmTeacherOptions& options,
                                              const std::filesystem::path& calls) {
  return std::make_unique<EndpointTeacher>(options, calls);
}

}  // namespace etrlrec
