#include "models/recommender.h"

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "models/counting.h"
#include "models/sasrec.h"

namespace etrlrec {

std::unique_ptr<Recommender> load_recommender(const fs::path& folder) {
  const fs::path file = folder / "config.json";
  CHECK(fs::exists(file), kModel, "{}: no recommender: config.json is missing", folder.string());
  const auto type = get<std::string>(read_json(file), "model_type", file.string());
  if (type == "sasrec") return Sasrec::load(folder);
  CHECK(type == "popularity" || type == "recency" || type == "markov", kModel,
        "{}: unknown model_type \"{}\"; known: popularity, recency, markov, sasrec", file.string(),
        type);
  return load_counting(folder);
}

}  // namespace etrlrec
