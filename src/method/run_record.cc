#include "method/run_record.h"

#include <ATen/Parallel.h>

#include <fstream>

#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/sha256.h"

namespace etrlrec {
namespace {

std::string content_hash(const fs::path& path) {
  if (fs::is_regular_file(path)) return sha256_file(path);
  if (fs::is_regular_file(path / "run.json")) return sha256_file(path / "run.json");
  return "";
}

}  // namespace

std::string cpu_description() {
  std::ifstream file("/proc/cpuinfo");
  std::string name = "unknown", flags;
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    if (line.starts_with("model name") && name == "unknown") name = line.substr(colon + 2);
    if (line.starts_with("flags") && flags.empty()) flags = line.substr(colon + 1) + " ";
  }
  for (const char* flag : {"avx2", "avx512f", "avx512_bf16", "amx_bf16"}) {
    if (flags.find(std::string(" ") + flag + " ") != std::string::npos)
      name += std::string(" ") + flag;
  }
  return name;
}

void write_run_record(const fs::path& folder, const RunRequest& request,
                      const std::map<std::string, fs::path>& inputs, double seconds) {
  OrderedJson record = {{"schema_version", 1},
                        {"command", request.command},
                        {"version", kVersion},
                        {"seed", request.seed},
                        {"threads", at::get_num_threads()},
                        {"arithmetic", name_of(request.numerics.arithmetic)},
                        {"cpu", cpu_description()},
                        {"seconds", seconds},
                        {"peak_rss_mb", peak_rss_bytes() / 1048576}};
  OrderedJson options = OrderedJson::object();
  for (const auto& [name, values] : request.options)
    options[name] = values.size() == 1 ? OrderedJson(values[0]) : OrderedJson(values);
  record["options"] = options;
  if (!request.notes.preset.empty()) {
    OrderedJson preset = OrderedJson::object();
    for (const auto& [name, value] : request.notes.preset) preset[name.substr(2)] = value;
    record["preset"] = preset;
  }
  if (!request.notes.findings.empty()) record["findings"] = request.notes.findings;
  OrderedJson hashes = OrderedJson::object();
  for (const auto& [name, path] : inputs)
    hashes[name] = {{"path", path.string()}, {"sha256", content_hash(path)}};
  record["inputs"] = hashes;
  write_json_atomic(folder / "run.json", record);
}

}  // namespace etrlrec
