#include "method/item_embeddings.h"

#include <ATen/ATen.h>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/sha256.h"
#include "models/sentence_encoder.h"
#include "nn/safetensors.h"
#include "text/tokenizer_folder.h"

namespace etrlrec {
namespace {

constexpr const char* kTensors = "embeddings.safetensors";
constexpr const char* kRecord = "embeddings.json";

// "Title" or "Title. Comedy, Drama".
std::string text_of(const Catalogue& catalogue, int32_t item, bool attributes) {
  std::string text = catalogue.titles[static_cast<size_t>(item)];
  if (!attributes) return text;
  const char* joint = ". ";
  for (const int32_t attribute : catalogue.attributes_of(item)) {
    text += joint + catalogue.attributes[static_cast<size_t>(attribute)];
    joint = ", ";
  }
  return text;
}

std::vector<std::vector<int64_t>> tokens_of(const Catalogue& catalogue, const Tokenizer& tokenizer,
                                            bool attributes, int64_t longest) {
  const int64_t first = tokenizer.special_id("[CLS]"), last = tokenizer.special_id("[SEP]");
  CHECK(longest > 2, kModel, "sentence encoder: expected more than two positions, found {}",
        longest);
  std::vector<std::vector<int64_t>> texts;
  int64_t cut = 0;
  for (int32_t item = 0; item < catalogue.num_items(); ++item) {
    std::vector<int64_t> ids = tokenizer.encode(text_of(catalogue, item, attributes));
    cut += std::ssize(ids) > longest - 2;
    ids.resize(std::min(ids.size(), static_cast<size_t>(longest - 2)));
    ids.insert(ids.begin(), first);
    ids.push_back(last);
    texts.push_back(std::move(ids));
  }
  if (cut > 0) log_warning("embed: {} texts are cut after {} tokens", cut, longest);
  return texts;
}

}  // namespace

EmbedSummary embed(const EmbedOptions& options) {
  FolderWriter writer(options.out);
  const Dataset dataset = load_dataset(options.data);
  const auto tokenizer = load_tokenizer(options.model);
  const SentenceEncoder encoder(options.model);
  CHECK(tokenizer->vocab_size() <= encoder.config().vocab_size, kModel,
        "{}: tokenizer has {} tokens, the model only {}", options.model, tokenizer->vocab_size(),
        encoder.config().vocab_size);
  const auto texts = tokens_of(dataset.catalogue, *tokenizer, options.attributes,
                               encoder.config().max_position_embeddings);
  EmbedSummary summary{dataset.catalogue.num_items(), encoder.config().hidden_size, 0};
  for (const auto& text : texts) summary.tokens += std::ssize(text);
  ProgressBar bar("embed", std::ssize(texts));
  const at::Tensor items =
      encoder.encode(texts, [&bar](int64_t done, int64_t) { bar.update(done); });
  save_safetensors({{"items", items}}, writer.path() / kTensors);
  write_json_atomic(writer.path() / kRecord,
                    OrderedJson{{"schema_version", 1},
                                {"catalogue_hash", catalogue_hash(dataset.catalogue)},
                                {"attributes", options.attributes},
                                {"items", summary.items},
                                {"dimensions", summary.dimensions},
                                {"sha256", sha256_file(writer.path() / kTensors)}});
  writer.commit();
  return summary;
}

at::Tensor load_item_embeddings(const fs::path& folder, const Catalogue& catalogue) {
  const std::string record = (folder / kRecord).string();
  CHECK(fs::exists(record), kModel,
        "{}: no embeddings of items\nhint: etrlrec embed --data DATA --model ENCODER --out FOLDER",
        folder.string());
  CHECK(get<std::string>(read_json(record), "catalogue_hash", record) == catalogue_hash(catalogue),
        kModel, "{}: describes another item table\nhint: etrlrec embed, with this data set",
        folder.string());
  const std::string file = (folder / kTensors).string();
  const ParameterMap tensors = load_safetensors(file);
  const auto items = tensors.find("items");
  CHECK(items != tensors.end() && items->second.dim() == 2 &&
            items->second.scalar_type() == at::kFloat &&
            items->second.size(0) == catalogue.num_items() &&
            items->second.isfinite().all().item<bool>(),
        kModel, "{}: expected finite floats [{}, any] under the name items", file,
        catalogue.num_items());
  return items->second;
}

std::string embeddings_hash(const fs::path& folder) { return sha256_file(folder / kTensors); }

}  // namespace etrlrec
