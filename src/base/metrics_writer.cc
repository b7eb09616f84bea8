#include "base/metrics_writer.h"

#include <cstdio>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"

namespace etrlrec {

MetricsWriter::MetricsWriter(const fs::path& folder, int64_t first_step)
    : path_(folder / "metrics.jsonl"), board_(folder / "tb") {
  if (!fs::exists(path_)) return;
  std::string kept;
  for_each_line(path_, [&](std::string_view line, int64_t) {
    const Json value =
        Json::parse(line, nullptr, false);  // a torn last line of a killed run is dropped
    if (!value.is_discarded() && value.value("step", int64_t{0}) < first_step)
      kept.append(line) += '\n';
  });
  write_file_atomic(path_, kept);
}

void MetricsWriter::write(int64_t step, const std::map<std::string, double>& values) {
  OrderedJson line = {{"step", step}};
  for (const auto& [tag, value] : values) {
    line[tag] = value;
    board_.scalar(tag, value, step);
  }
  board_.flush();
  std::FILE* file = std::fopen(path_.c_str(), "ab");
  CHECK(file != nullptr, kFailure, "{}: cannot append", path_.string());
  const std::string text = line.dump() + "\n";
  const bool written = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  CHECK(std::fclose(file) == 0 && written, kFailure, "{}: cannot append", path_.string());
}

}  // namespace etrlrec
