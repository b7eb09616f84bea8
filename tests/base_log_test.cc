// Reads event files back with a decoder of its own, so that the writer's framing is checked against
// the format.
#include <gtest/gtest.h>

#include <cstring>

#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/metrics_writer.h"
#include "base/tensorboard.h"

namespace etrlrec {
namespace {

uint32_t slow_crc32c(std::string_view bytes) {
  uint32_t crc = ~0U;
  for (const unsigned char byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78U : 0U);
  }
  return ~crc;
}

uint32_t masked(uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xa282ead8U; }

template <typename T>
T raw(std::string_view bytes, size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof(T));
  return value;
}

std::vector<std::string> read_records(const std::string& bytes) {
  std::vector<std::string> records;
  for (size_t at = 0; at < bytes.size();) {
    const auto size = raw<uint64_t>(bytes, at);
    EXPECT_EQ(raw<uint32_t>(bytes, at + 8),
              masked(slow_crc32c(std::string_view(bytes).substr(at, 8))));
    records.push_back(bytes.substr(at + 12, size));
    EXPECT_EQ(raw<uint32_t>(bytes, at + 12 + size), masked(slow_crc32c(records.back())));
    at += 16 + size;
  }
  return records;
}

TEST(TensorBoard, records_are_framed_and_hold_tag_step_and_value) {
  const fs::path folder = fs::temp_directory_path() / "etrlrec-tensorboard";
  fs::remove_all(folder);
  {
    TensorBoardWriter writer(folder);
    writer.scalar("train/loss", 1.5, 300);
  }
  const auto records = read_records(read_file(fs::directory_iterator(folder)->path()));
  ASSERT_EQ(records.size(), 2u);
  EXPECT_NE(records[0].find("brain.Event:2"), std::string::npos);
  const std::string& event = records[1];
  EXPECT_EQ(event[0], 0x09);                                   // field 1, double
  EXPECT_EQ(event.substr(9, 3), std::string("\x10\xac\x02"));  // field 2, varint 300
  EXPECT_NE(event.find("train/loss"), std::string::npos);
  EXPECT_EQ(raw<float>(event, event.size() - 4), 1.5f);
  fs::remove_all(folder);
}

TEST(Metrics, resume_drops_the_steps_that_will_be_repeated) {
  const fs::path folder = fs::temp_directory_path() / "etrlrec-metrics";
  fs::remove_all(folder);
  fs::create_directories(folder);
  {
    MetricsWriter writer(folder);
    for (int64_t step = 1; step <= 3; ++step)
      writer.write(step, {{"loss", 0.5 * static_cast<double>(step)}});
  }
  MetricsWriter(folder, 3).write(3, {{"loss", 9}});
  std::vector<double> losses;
  for_each_json_line(folder / "metrics.jsonl",
                     [&](const Json& line, int64_t) { losses.push_back(line["loss"]); });
  EXPECT_EQ(losses, (std::vector<double>{0.5, 1, 9}));
  fs::remove_all(folder);
}

TEST(Format, counts_and_durations_read_well) {
  EXPECT_EQ(format_count(7), "7");
  EXPECT_EQ(format_count(8412), "8.4k");
  EXPECT_EQ(format_count(58123), "58.1k");
  EXPECT_EQ(format_count(1234567), "1.2M");
  EXPECT_EQ(format_duration(302), "05:02");
  EXPECT_EQ(format_duration(3723), "1:02:03");
}

}  // namespace
}  // namespace etrlrec
