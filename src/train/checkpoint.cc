#include "train/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "nn/safetensors.h"
#include "tuning/optim.h"

namespace etrlrec {
namespace {

constexpr std::string_view kPrefix = "checkpoint-";

// The step in "checkpoint-<step>", -1 for other names (temporary folders among them).
int64_t parse_step(const std::string& name) {
  if (!name.starts_with(kPrefix)) return -1;
  int64_t step = -1;
  const char* end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data() + kPrefix.size(), end, step);
  return error == std::errc() && stop == end ? step : -1;
}

OrderedJson to_json(const TrainerState& state) {
  OrderedJson history = OrderedJson::array();
  for (const LogEntry& entry : state.log_history) {
    OrderedJson line{{"step", entry.step}};
    for (const auto& [name, value] : entry.values) line[name] = value;
    history.push_back(line);
  }
  OrderedJson window = OrderedJson::object();
  for (const auto& [name, sum] : state.window) window[name] = {sum.first, sum.second};
  OrderedJson json{{"global_step", state.global_step},
                   {"max_steps", state.max_steps},
                   {"epoch", state.epoch},
                   {"num_input_tokens_seen", state.tokens},
                   {"train_seconds", state.seconds}};
  json["best_metric"] = state.has_best ? OrderedJson(state.best_metric) : OrderedJson(nullptr);
  json["best_global_step"] = state.best_step;
  json["stale_evaluations"] = state.stale_evaluations;
  json["finished"] = state.finished;
  json["options"] = state.options;
  json["window"] = window;
  json["log_history"] = history;
  OrderedJson findings = OrderedJson::array();
  for (const auto& [name, finding] : state.findings)
    findings.push_back({{"name", name},
                        {"text", finding.text},
                        {"is_collapse", finding.is_collapse},
                        {"step", finding.step}});
  if (!findings.empty()) json["findings"] = findings;
  if (state.rolled_back_to >= 0) json["rolled_back_to"] = state.rolled_back_to;
  return json;
}

double number_or_nan(const Json& value, const std::string& name, const std::string& key) {
  if (value.is_null()) return std::numeric_limits<double>::quiet_NaN();
  CHECK(value.is_number(), kInput, "{}: \"{}\": expected a number, found {}", name, key,
        value.dump());
  return value.get<double>();
}

LogEntry parse_log_entry(const Json& json, const std::string& name) {
  LogEntry entry;
  entry.step = get<int64_t>(json, "step", name);
  for (const auto& [key, value] : json.items())
    if (key != "step") entry.values[key] = number_or_nan(value, name, key);
  return entry;
}

TrainerState parse_state(const Json& json, const std::string& name) {
  TrainerState state;
  state.global_step = get<int64_t>(json, "global_step", name);
  state.max_steps = get<int64_t>(json, "max_steps", name);
  state.epoch = get<double>(json, "epoch", name);
  state.tokens = get<int64_t>(json, "num_input_tokens_seen", name);
  state.seconds = get<double>(json, "train_seconds", name);
  state.has_best = !get<Json>(json, "best_metric", name).is_null();
  if (state.has_best) state.best_metric = get<double>(json, "best_metric", name);
  state.best_step = get<int64_t>(json, "best_global_step", name);
  state.stale_evaluations = get<int64_t>(json, "stale_evaluations", name);
  state.finished = get<bool>(json, "finished", name);
  state.options = get<std::map<std::string, std::string>>(json, "options", name);
  state.window = get<std::map<std::string, std::pair<double, int64_t>>>(json, "window", name);
  const Json history = get<Json>(json, "log_history", name);
  CHECK(history.is_array(), kInput, "{}: \"log_history\": expected an array", name);
  for (const Json& line : history) state.log_history.push_back(parse_log_entry(line, name));
  if (json.contains("findings")) {
    for (const Json& line : json["findings"]) {
      const auto key = get<std::string>(line, "name", name);
      state.findings[key] = {key, get<std::string>(line, "text", name),
                             get<bool>(line, "is_collapse", name),
                             get<int64_t>(line, "step", name)};
    }
  }
  if (json.contains("rolled_back_to"))
    state.rolled_back_to = get<int64_t>(json, "rolled_back_to", name);
  return state;
}

}  // namespace

std::vector<int64_t> CheckpointFolder::steps() const {
  std::vector<int64_t> found;
  if (!fs::is_directory(folder_)) return found;
  for (const auto& entry : fs::directory_iterator(folder_)) {
    const int64_t step = parse_step(entry.path().filename().string());
    if (step >= 0 && entry.is_directory()) found.push_back(step);
  }
  std::sort(found.begin(), found.end());
  return found;
}

fs::path CheckpointFolder::path(int64_t step) const {
  return folder_ / fmt::format("{}{}", kPrefix, step);
}

bool CheckpointFolder::contains(int64_t step) const { return fs::is_directory(path(step)); }

void CheckpointFolder::remove_leftovers() const {
  if (!fs::is_directory(folder_)) return;
  std::vector<fs::path> doomed;
  for (const auto& entry : fs::directory_iterator(folder_)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(".checkpoint-") || name.starts_with(".removed-"))
      doomed.push_back(entry.path());
  }
  for (const fs::path& path : doomed) fs::remove_all(path);
}

fs::path CheckpointFolder::part(int64_t step, const std::string& name) const {
  return path(step) / (name + ".safetensors");
}

void CheckpointFolder::save(const TrainerState& state,
                            const std::map<std::string, ParameterMap>& parts, int64_t limit,
                            std::optional<int64_t> good_until) const {
  FolderWriter writer(path(state.global_step), /*replace=*/true);
  for (const auto& [name, tensors] : parts)
    save_safetensors(tensors, writer.path() / (name + ".safetensors"));
  write_json_atomic(writer.path() / "trainer_state.json", to_json(state));
  writer.commit();
  std::vector<int64_t> kept = {state.global_step, state.has_best ? state.best_step : -1,
                               state.rolled_back_to};
  if (good_until) {
    const std::vector<int64_t> all = steps();
    kept.push_back(std::max(newest_until(*good_until), all.front()));
    const auto next = std::upper_bound(all.begin(), all.end(), kept.back());
    if (next != all.end()) kept.push_back(*next);
  }
  remove_old(kept, limit);
}

int64_t CheckpointFolder::newest_until(int64_t step) const {
  int64_t newest = -1;
  for (const int64_t found : steps())
    if (found <= step) newest = found;
  return newest;
}

// A checkpoint is renamed before its files go, so that no incomplete folder ever carries its name.
void CheckpointFolder::remove_old(std::span<const int64_t> kept, int64_t limit) const {
  std::vector<int64_t> removable = steps();
  const auto excess = static_cast<int64_t>(removable.size()) - std::max<int64_t>(limit, 1);
  std::erase_if(removable, [&](int64_t step) {
    return std::find(kept.begin(), kept.end(), step) != kept.end();
  });
  for (int64_t i = 0; i < std::min<int64_t>(excess, static_cast<int64_t>(removable.size())); ++i) {
    const fs::path doomed = folder_ / fmt::format(".removed-{}", removable[i]);
    fs::remove_all(doomed);
    fs::rename(path(removable[i]), doomed);
    fs::remove_all(doomed);
  }
}

TrainerState CheckpointFolder::load_state(int64_t step) const {
  const fs::path file = path(step) / "trainer_state.json";
  const TrainerState state = parse_state(read_json(file), file.string());
  CHECK(state.global_step == step, kInput, "{}: expected global_step {}, found {}", file.string(),
        step, state.global_step);
  return state;
}

void CheckpointFolder::load_parameters(int64_t step, ParameterMap& parameters) const {
  const fs::path file = part(step, "model");
  copy_state(load_safetensors(file), parameters, file.string());
}

}  // namespace etrlrec
