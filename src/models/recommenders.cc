#include "models/recommenders.h"

#include <algorithm>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "models/bert4rec.h"
#include "models/caser.h"
#include "models/content.h"
#include "models/fpmc.h"
#include "models/gru4rec.h"
#include "models/item_knn.h"
#include "models/markov.h"
#include "models/popularity.h"
#include "models/recommender_loss.h"
#include "models/sasrec.h"
#include "models/tisasrec.h"

namespace etrlrec {
namespace {

constexpr const RecommenderType* kTypes[] = {
    &kPopularity, &kRecency,  &kMarkov,   &kSasrec,  &kGru4Rec, &kCaser,
    &kFpmc,       &kBert4Rec, &kTiSasrec, &kItemKnn, &kContent,
};

// nullptr: unknown.
const RecommenderType* find_type(std::string_view name) {
  const auto found = std::find_if(std::begin(kTypes), std::end(kTypes),
                                  [&](const auto* type) { return name == type->name; });
  return found == std::end(kTypes) ? nullptr : *found;
}

}  // namespace

std::span<const RecommenderType* const> recommender_types() { return kTypes; }

std::string recommender_names() {
  std::string names;
  for (const RecommenderType* type : kTypes)
    names += (names.empty() ? "" : ", ") + std::string(type->name);
  return names;
}

std::string format_recommenders() {
  std::string lines;
  for (const RecommenderType* type : kTypes) {
    std::string text = type->summary;
    if (*type->paper != 0) text += fmt::format(" ({})", type->paper);
    if (*type->loss != 0) text += fmt::format(", --loss {}", type->loss);
    lines += fmt::format("{:<12}{}\n", type->name, text);
  }
  lines += "\nlosses of those that are trained:\n";
  for (const LossType& loss : loss_types())
    lines += fmt::format("{:<12}{}{}\n", loss.name, loss.summary,
                         *loss.paper == 0 ? "" : fmt::format(" ({})", loss.paper));
  return lines;
}

const RecommenderType& recommender_type(std::string_view name) {
  const RecommenderType* type = find_type(name);
  CHECK(type != nullptr, kUsage, "unknown recommender \"{}\"; known: {}", name,
        recommender_names());
  return *type;
}

std::unique_ptr<Recommender> load_recommender(const fs::path& folder, const Numerics& numerics) {
  const fs::path file = folder / "config.json";
  CHECK(fs::exists(file), kModel, "{}: no recommender: config.json is missing", folder.string());
  const auto name = get<std::string>(read_json(file), "model_type", file.string());
  const RecommenderType* type = find_type(name);
  CHECK(type != nullptr, kModel, "{}: unknown model_type \"{}\"; known: {}", file.string(), name,
        recommender_names());
  std::unique_ptr<Recommender> model = type->load(folder);
  model->set_numerics(numerics);
  return model;
}

}  // namespace etrlrec
