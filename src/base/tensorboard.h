// TensorBoard event files with scalars. A record is: uint64 length, masked CRC32C of the length,
// payload, masked CRC32C of the payload, all little endian. The payload is the protobuf Event
// {1: double wall_time, 2: int64 step, 3: string file_version, 5: Summary}, where Summary is
// {1: Value {1: string tag, 2: float simple_value}}.
#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string_view>

namespace etrlrec {

class TensorBoardWriter {
 public:
  explicit TensorBoardWriter(
      const std::filesystem::path& folder);  // creates folder/events.out.tfevents.*
  ~TensorBoardWriter();
  TensorBoardWriter(const TensorBoardWriter&) = delete;
  void scalar(std::string_view tag, double value, int64_t step);
  void flush();

 private:
  void record(std::string_view event);
  std::FILE* file_ = nullptr;
};

}  // namespace etrlrec
