// The metrics of one run folder: metrics.jsonl and TensorBoard scalars.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "base/tensorboard.h"

namespace etrlrec {

// metrics.jsonl (one {"step":…, tag: value …} per call) and TensorBoard scalars of one run folder.
// On resume, lines of metrics.jsonl at or beyond `first_step` are dropped so that no step appears
// twice.
class MetricsWriter {
 public:
  MetricsWriter(const std::filesystem::path& folder, int64_t first_step = 0);
  void write(int64_t step, const std::map<std::string, double>& values);

 private:
  std::filesystem::path path_;
  TensorBoardWriter board_;
};

}  // namespace etrlrec
