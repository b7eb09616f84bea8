#include "method/new_lm.h"

#include <algorithm>
#include <memory>
#include <numeric>
#include <unordered_set>

#include "base/check.h"
#include "base/io.h"
#include "base/log.h"
#include "method/row.h"
#include "method/study.h"
#include "models/lookup_init.h"
#include "models/t5.h"
#include "temporal/names.h"
#include "temporal/prompts.h"
#include "temporal/teachers.h"
#include "text/bpe_train.h"
#include "text/tokenizer_folder.h"

namespace etrlrec {
namespace {

// Prompts and completions as the student will see them, plus every title once.
std::vector<std::string> tokenizer_documents(const Study& study, const CandidateSet& train,
                                             const NewLmOptions& options) {
  const Catalogue& catalogue = study.dataset.catalogue;
  const RowSource source(
      study, train,
      {.max_history = static_cast<int32_t>(options.max_history), .style = options.style});
  const auto teacher = make_teacher("program", catalogue, study.statistics, {});
  std::vector<std::string> documents;
  uint64_t number = 0;
  for (const int64_t row : spread_rows(source.size(), options.sample_rows)) {
    const RowView view = source.view(row);
    Rng rng(options.seed, "tokenizer-sample", number++);
    const TeacherRequest draw{view.context(), rng};
    const TeacherReply reply = teacher->reply({&draw, 1}).front();
    documents.push_back(view.prompt());
    documents.push_back(completion_text(
        reply.reasoning, view.answers()[static_cast<size_t>(reply.answer) - 1], source.prompt()));
  }
  for (const std::string& title : catalogue.titles) documents.push_back(" " + escape_title(title));
  for (const std::string& path : options.documents) documents.push_back(read_file(path));
  return documents;
}

// Words whose pieces have to be tokens: what is copied or looked up must not be spelled out.
std::vector<std::string> required_words(const PromptStyle& style, const Catalogue& catalogue,
                                        int64_t numbers) {
  BpeTrainingOptions options{.required_words = {" 1"}};  // selects numbers with their leading space
  std::vector<std::string> words;
  std::unordered_set<std::string> seen;
  for (const std::string& text : style.words(catalogue, numbers))
    for (std::string& piece : training_pieces(text, options))
      if (piece.size() > 1 && seen.insert(piece).second) words.push_back(std::move(piece));
  return words;
}

// The answer texts of frequent items; equal ones once.
std::vector<std::string> frequent_titles(const Study& study, const NewLmOptions& options) {
  const std::vector<double>& count = study.statistics.item_count;
  std::vector<int32_t> items(count.size());
  std::iota(items.begin(), items.end(), 0);
  std::stable_sort(items.begin(), items.end(), [&](int32_t a, int32_t b) {
    return count[static_cast<size_t>(a)] > count[static_cast<size_t>(b)];
  });
  std::vector<std::string> titles;
  std::unordered_set<std::string> seen;
  for (const int32_t item : items) {
    if (std::ssize(titles) >= options.whole_titles ||
        count[static_cast<size_t>(item)] < static_cast<double>(options.whole_title_interactions))
      break;
    std::string text = find_style(options.style).title(study.dataset.catalogue, item);
    if (seen.insert(text).second) titles.push_back(std::move(text));
  }
  return titles;
}

void check_numbers(const NewLmOptions& options) {
  CHECK(options.family == "qwen2" || options.family == "t5", kUsage,
        "--family: expected qwen2 or t5, found \"{}\"", options.family);
  CHECK(options.num_attention_heads > 0 &&
            options.hidden_size % (2 * options.num_attention_heads) == 0,
        kUsage, "--hidden-size: expected a multiple of twice the number of heads ({}), found {}",
        2 * options.num_attention_heads, options.hidden_size);
  CHECK(options.num_hidden_layers > 0, kUsage,
        "--num-hidden-layers: expected a positive number, found {}", options.num_hidden_layers);
}

int64_t feed_forward_width(const NewLmOptions& options) {
  return options.intermediate_size > 0 ? options.intermediate_size : 3 * options.hidden_size;
}

std::unique_ptr<LanguageModel> new_encoder_decoder(const NewLmOptions& options,
                                                   const Tokenizer& tokenizer) {
  T5Config config;
  config.vocab_size = tokenizer.vocab_size();
  config.d_model = options.hidden_size;
  config.num_heads = options.num_attention_heads;
  config.d_kv = options.hidden_size / options.num_attention_heads;
  config.d_ff = feed_forward_width(options);
  config.num_layers = config.num_decoder_layers = options.num_hidden_layers;
  config.feed_forward_proj = "gated-gelu";
  config.pad_token_id = config.decoder_start_token_id = tokenizer.eos_id();
  config.eos_token_ids = {tokenizer.eos_id()};
  return new_t5(config, options.seed);
}

std::unique_ptr<LanguageModel> new_decoder_of(const NewLmOptions& options,
                                              const Tokenizer& tokenizer) {
  LlmConfig config;
  config.vocab_size = tokenizer.vocab_size();
  config.hidden_size = options.hidden_size;
  config.num_hidden_layers = options.num_hidden_layers;
  config.num_attention_heads = config.num_key_value_heads = options.num_attention_heads;
  config.head_dim = options.hidden_size / options.num_attention_heads;
  config.intermediate_size = feed_forward_width(options);
  config.max_position_embeddings = options.max_position_embeddings;
  config.rope.theta = 1e6;
  config.eos_token_ids = {tokenizer.eos_id()};
  auto model = new_decoder(config, options.seed);
  if (options.init == "lookup") initialize_lookup(*model, {}, options.seed);
  return model;
}

}  // namespace

void make_new_lm(const NewLmOptions& options) {
  const PromptStyle& style = find_style(options.style, "--style");
  check_numbers(options);
  const Study study = open_study(options.data);
  const CandidateSet train = study.candidates("train");
  FolderWriter writer(options.out);
  BpeTrainingOptions bpe{.vocab_size = options.vocab_size};
  bpe.required_words = required_words(style, study.dataset.catalogue,
                                      std::max<int64_t>(train.options.count, options.max_history));
  bpe.phrases = frequent_titles(study, options);
  train_bpe(tokenizer_documents(study, train, options), bpe, writer.path());
  const auto tokenizer = load_tokenizer(writer.path());
  const std::unique_ptr<LanguageModel> model = options.family == "t5"
                                                   ? new_encoder_decoder(options, *tokenizer)
                                                   : new_decoder_of(options, *tokenizer);
  log_info("new language model: {} parameters, {} tokens",
           format_count(static_cast<double>(model->num_parameters())), tokenizer->vocab_size());
  model->save(writer.path());
  writer.commit();
}

}  // namespace etrlrec
