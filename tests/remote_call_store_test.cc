// The file of calls: found again, repaired after a crash, refused where it is damaged.
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "remote/call_store.h"

namespace etrlrec {
namespace {

class CallStoreFile : public testing::Test {
 protected:
  void SetUp() override {
    set_log_options({.quiet = true, .progress = false});
    path_ = fs::temp_directory_path() / fmt::format("etrlrec_calls_{}.jsonl", ::getpid());
    fs::remove(path_);
  }
  void TearDown() override { fs::remove(path_); }

  static ChatCall call(int32_t draw) { return {"m", {{"user", "ä\n\"u\""}}, "{}", draw}; }
  static ChatReply reply(const std::string& text) {
    return {text, "thought", "stop", {10, 3}, false};
  }
  // Three replies and a failure.
  void fill() {
    CallStore store(path_);
    for (int32_t draw = 0; draw < 3; ++draw)
      store.add(call(draw), call_key(call(draw)), reply(fmt::format("text {}", draw)));
    store.add_failure(call_key(call(3)), {503, "busy", 4, false});
  }

  fs::path path_;
};

TEST_F(CallStoreFile, finds_what_was_stored_before) {
  fill();
  CallStore store(path_);
  EXPECT_EQ(store.reply(call_key(call(1)))->text, "text 1");
  EXPECT_EQ(store.reply(call_key(call(1)))->thinking, "thought");
  EXPECT_FALSE(store.reply(call_key(call(3))));
  EXPECT_EQ(store.failure(call_key(call(3)))->message, "busy");
  EXPECT_EQ(store.totals().replies, 3);
  EXPECT_EQ(store.totals().failed, 1);
  EXPECT_EQ(store.totals().usage.total(), 39);
  store.add(call(3), call_key(call(3)), reply("late"));
  EXPECT_FALSE(store.failure(call_key(call(3))));
  EXPECT_EQ(store.totals().failed, 0);
  EXPECT_EQ(CallStore(path_).reply(call_key(call(3)))->text, "late");
}

TEST_F(CallStoreFile, keeps_the_first_reply_of_a_call) {
  fill();
  CallStore store(path_);
  store.add(call(0), call_key(call(0)), reply("another"));
  store.add_failure(call_key(call(0)), {500, "late", 1, true});
  EXPECT_EQ(store.reply(call_key(call(0)))->text, "text 0");
  EXPECT_EQ(store.totals().replies, 3);
  EXPECT_EQ(CallStore(path_).totals().usage.total(), 39);
}

TEST_F(CallStoreFile, survives_a_cut_at_every_byte_of_its_last_line) {
  fill();
  const std::string whole = read_file(path_);
  const size_t last = whole.rfind('\n', whole.size() - 2) + 1;
  testing::internal::CaptureStderr();  // a warning each time
  for (size_t size = last; size < whole.size(); ++size) {
    write_file_atomic(path_, whole.substr(0, size));
    CallStore store(path_);
    EXPECT_EQ(store.totals().replies, 3) << size;
    EXPECT_EQ(store.totals().failed, 0) << size;
    store.add(call(9), call_key(call(9)), reply("new"));
    EXPECT_EQ(store.reply(call_key(call(9)))->text, "new") << size;
    EXPECT_EQ(CallStore(path_).totals().replies, 4) << size;
    EXPECT_TRUE(audit_calls(path_).findings.empty()) << size;
  }
  write_file_atomic(path_, whole.substr(0, last) + std::string(40, '\0') + "\n");
  EXPECT_EQ(CallStore(path_).totals().replies, 3);
  EXPECT_NE(testing::internal::GetCapturedStderr().find("line 4 was cut"), std::string::npos);
}

TEST_F(CallStoreFile, refuses_damage_in_the_middle) {
  fill();
  std::string text = read_file(path_);
  text.insert(text.find('\n') + 1, "{\"key\": torn\n");
  write_file_atomic(path_, text);
  EXPECT_THROW(CallStore store(path_), Error);
}

TEST_F(CallStoreFile, is_audited) {
  fill();
  EXPECT_TRUE(audit_calls(path_).findings.empty());
  EXPECT_EQ(audit_calls(path_).replies, 3);
  EXPECT_EQ(audit_calls(path_).failures, 1);
  std::string text = read_file(path_);
  const std::string first = text.substr(0, text.find('\n') + 1);
  std::string changed = first;
  changed.replace(changed.find("\"draw\":0"), 8, "\"draw\":7");
  write_file_atomic(path_, text + first + changed);
  const CallAudit audit = audit_calls(path_);
  EXPECT_EQ(audit.findings.at("answered twice"), 2);
  EXPECT_EQ(audit.findings.at("key of another call"), 1);
}

}  // namespace
}  // namespace etrlrec
