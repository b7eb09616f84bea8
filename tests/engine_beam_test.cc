// Beam search: tokens and scores of Transformers, the exact best sequences where the width allows
// it, items only and each once under a trie.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <set>

#include "base/check.h"
#include "base/json.h"
#include "base/rng.h"
#include "engine/beam.h"
#include "engine_fake_llm.h"
#include "golden_path.h"
#include "models/decoder.h"

namespace etrlrec {
namespace {

using Sequences = std::vector<std::vector<int64_t>>;
const std::filesystem::path kDecoders = golden_path() / "decoders";

Sequences random_titles(int64_t count, uint64_t index) {
  Rng rng(3, "beam-titles", index);
  Sequences titles;
  for (int64_t i = 0; i < count; ++i) {
    std::vector<int64_t> title(1 + rng.below(4));
    for (int64_t& token : title) token = static_cast<int64_t>(rng.below(6));
    title.push_back(23);
    titles.push_back(title);
  }
  return titles;
}

// Scores of whole sequences, one fresh pass per token.
double slow_score(const FakeLlm& model, std::vector<int64_t> path,
                  const std::vector<int64_t>& tokens, double length_penalty) {
  double sum = 0;
  for (int64_t id : tokens) {
    sum += model.next_logprobs(path)[static_cast<size_t>(id)];
    path.push_back(id);
  }
  return sum / std::pow(static_cast<double>(tokens.size()), length_penalty);
}

std::vector<BeamRequest> golden_requests(const Json& generation) {
  std::vector<BeamRequest> requests;
  for (size_t r = 0; r < generation["input_ids"].size(); ++r) {
    requests.push_back({});
    for (size_t t = 0; t < generation["input_ids"][r].size(); ++t)
      if (generation["attention_mask"][r][t] == 1)
        requests.back().prompt.push_back(generation["input_ids"][r][t]);
  }
  return requests;
}

// Up to and including the first end token: behind it the reference fills up.
std::vector<int64_t> until_end(const Json& tokens, int64_t eos) {
  std::vector<int64_t> ids;
  for (const Json& token : tokens) {
    ids.push_back(token);
    if (ids.back() == eos) break;
  }
  return ids;
}

double expect_golden_beams(const LanguageModel& model, const Json& generation,
                           const std::string& kind) {
  const Json& golden = generation[kind];
  const int64_t eos = golden["eos_token_id"];
  std::unique_ptr<ItemTrie> trie;
  if (golden.contains("allowed_sequences"))
    trie = std::make_unique<ItemTrie>(golden["allowed_sequences"].get<Sequences>(),
                                      model.vocab_size());
  auto requests = golden_requests(generation);
  for (BeamRequest& request : requests) request.items = trie.get();
  BeamOptions options;
  options.num_beams = golden["num_beams"];
  options.max_new_tokens = golden["max_new_tokens"];
  options.length_penalty = golden["length_penalty"];
  options.eos_ids = {eos};
  const auto found = beam_search(model, requests, options);
  double largest = 0;
  for (size_t r = 0; r < found.size(); ++r) {
    EXPECT_EQ(found[r].size(), golden["new_tokens"][r].size());
    for (size_t k = 0; k < found[r].size(); ++k) {
      EXPECT_EQ(found[r][k].ids, until_end(golden["new_tokens"][r][k], eos)) << r << " " << k;
      const double expected = golden["scores"][r][k];
      EXPECT_NEAR(found[r][k].score, expected, 1e-4);
      largest = std::max(largest, std::abs(found[r][k].score - expected));
    }
  }
  return largest;
}

TEST(BeamGolden, gives_tokens_and_scores_of_transformers) {
  double largest = 0;
  for (const char* name : {"qwen2", "qwen3", "llama-tied", "llama3-untied", "mistral-swa"}) {
    const auto model = load_decoder(kDecoders / name);
    const Json generation = read_json(kDecoders / name / "golden.json")["generation"];
    for (const char* kind : {"beam", "beam_length_penalty", "beam_constrained"}) {
      SCOPED_TRACE(std::string(name) + " " + kind);
      largest = std::max(largest, expect_golden_beams(*model, generation, kind));
    }
  }
  RecordProperty("largest_score_difference", std::to_string(largest));
}

TEST(Beam, finds_the_best_items_when_it_is_as_wide_as_the_catalogue) {
  const FakeLlm model;
  for (uint64_t index = 0; index < 12; ++index) {
    const Sequences titles = random_titles(3 + static_cast<int64_t>(index) * 4, index);
    const ItemTrie trie(titles, 24);
    std::map<std::vector<int64_t>, std::vector<int64_t>> items;
    for (size_t i = 0; i < titles.size(); ++i) items[titles[i]].push_back(static_cast<int64_t>(i));
    const std::vector<int64_t> prompt{static_cast<int64_t>(index), 2};
    std::vector<std::pair<double, std::vector<int64_t>>> expected;
    for (const auto& [title, same] : items)
      expected.emplace_back(-slow_score(model, prompt, title, 0), title);
    std::sort(expected.begin(), expected.end());
    BeamOptions options;
    options.num_beams = static_cast<int64_t>(titles.size());
    options.length_penalty = 0;
    const BeamRequest request{prompt, &trie};
    const auto found = beam_search(model, std::span(&request, 1), options)[0];
    ASSERT_EQ(found.size(), expected.size());
    for (size_t k = 0; k < found.size(); ++k) {
      EXPECT_EQ(found[k].ids, expected[k].second);
      EXPECT_NEAR(found[k].score, -expected[k].first, 1e-4);
      EXPECT_EQ(found[k].items, items[found[k].ids]);
    }
  }
}

TEST(Beam, gives_items_only_and_none_twice) {
  const FakeLlm model;
  for (int64_t width : {1, 2, 3, 7}) {
    const Sequences titles = random_titles(30, static_cast<uint64_t>(width));
    const ItemTrie trie(titles, 24);
    std::vector<BeamRequest> requests;
    for (int64_t p = 0; p < 9; ++p) requests.push_back({{p, 3, p + 1}, &trie});
    BeamOptions options;
    options.num_beams = width;
    for (const auto& row : beam_search(model, requests, options)) {
      EXPECT_EQ(row.size(), static_cast<size_t>(width));
      std::set<int64_t> seen;
      for (const Hypothesis& hypothesis : row) {
        ASSERT_FALSE(hypothesis.items.empty());
        for (int64_t item : hypothesis.items) {
          EXPECT_EQ(titles[static_cast<size_t>(item)], hypothesis.ids);
          EXPECT_TRUE(seen.insert(item).second);
        }
      }
    }
  }
}

TEST(Beam, finds_the_best_texts_when_it_is_as_wide_as_the_vocabulary) {
  const FakeLlm model(8);
  const std::vector<int64_t> prompt{1, 2, 3};
  std::vector<std::pair<double, std::vector<int64_t>>> expected;
  for (int64_t a = 0; a < 8; ++a)
    for (int64_t b = 0; b < 8; ++b)
      expected.emplace_back(-slow_score(model, prompt, {a, b}, 1), std::vector<int64_t>{a, b});
  std::sort(expected.begin(), expected.end());
  BeamOptions options;
  options.num_beams = 8;
  options.num_return_sequences = 5;
  options.max_new_tokens = 2;
  const BeamRequest request{prompt, nullptr};
  const auto found = beam_search(model, std::span(&request, 1), options)[0];
  ASSERT_EQ(found.size(), 5u);
  for (size_t k = 0; k < found.size(); ++k) {
    EXPECT_EQ(found[k].ids, expected[k].second);
    EXPECT_NEAR(found[k].score, -expected[k].first, 1e-4);
  }
}

// All texts of at most three tokens that end with token 0 or at the third.
TEST(Beam, is_an_enumeration_with_room_for_all_texts) {
  const FakeLlm model(4);
  const std::vector<int64_t> prompt{1, 2, 3};
  std::vector<std::pair<double, std::vector<int64_t>>> expected;
  Sequences open{{}};
  for (size_t length = 1; length <= 3; ++length) {
    Sequences next;
    for (const auto& text : open)
      for (int64_t v = 0; v < 4; ++v) {
        next.push_back(text);
        next.back().push_back(v);
        if (v != 0 && length < 3) continue;
        expected.emplace_back(-slow_score(model, prompt, next.back(), 1), next.back());
        next.pop_back();
      }
    open = std::move(next);
  }
  std::sort(expected.begin(), expected.end());
  ASSERT_EQ(expected.size(), 1u + 3 + 36);
  BeamOptions options;
  options.num_beams = 64;
  options.max_new_tokens = 3;
  options.eos_ids = {0};
  const BeamRequest request{prompt, nullptr};
  const auto found = beam_search(model, std::span(&request, 1), options)[0];
  ASSERT_EQ(found.size(), expected.size());
  for (size_t k = 0; k < found.size(); ++k) {
    EXPECT_EQ(found[k].ids, expected[k].second) << k;
    EXPECT_NEAR(found[k].score, -expected[k].first, 1e-5);
  }
}

TEST(Beam, records_what_fresh_passes_give) {
  const FakeLlm model(24, 2);
  for (const double penalty : {0.0, 1.0, 2.0}) {
    std::vector<BeamRequest> requests;
    for (int64_t p = 0; p < 6; ++p) requests.push_back({{p, 5}, nullptr});
    BeamOptions options;
    options.num_beams = 5;
    options.max_new_tokens = 7;
    options.length_penalty = penalty;
    options.eos_ids = {0, 4, 9};
    const auto found = beam_search(model, requests, options);
    bool ended = false;
    for (size_t p = 0; p < found.size(); ++p) {
      std::set<std::vector<int64_t>> texts;
      for (size_t k = 0; k < found[p].size(); ++k) {
        const Hypothesis& text = found[p][k];
        EXPECT_TRUE(texts.insert(text.ids).second);
        EXPECT_NEAR(text.score, slow_score(model, requests[p].prompt, text.ids, penalty), 1e-4);
        EXPECT_LE(text.score, k > 0 ? found[p][k - 1].score : 0.0);
        double sum = 0;
        for (float logprob : text.logprobs) sum += logprob;
        EXPECT_NEAR(sum, slow_score(model, requests[p].prompt, text.ids, 0), 1e-4);
        const auto end = std::find_if(text.ids.begin(), text.ids.end(),
                                      [&](int64_t id) { return id == 0 || id == 4 || id == 9; });
        EXPECT_TRUE(end == text.ids.end() ? text.ids.size() == 7 : end + 1 == text.ids.end());
        ended = ended || text.ids.size() < 7;
      }
    }
    EXPECT_TRUE(ended);
  }
}

TEST(Beam, stops_early_when_asked_to) {
  const FakeLlm model(24, 3);
  std::vector<BeamRequest> requests;
  for (int64_t p = 0; p < 20; ++p) requests.push_back({{p, 5}, nullptr});
  std::vector<int64_t> work;
  std::vector<double> best;
  for (const EarlyStopping stopping :
       {EarlyStopping::kTrue, EarlyStopping::kFalse, EarlyStopping::kNever}) {
    BeamOptions options;
    options.num_beams = 3;
    options.max_new_tokens = 30;
    options.eos_ids = {0, 4, 9};
    options.early_stopping = stopping;
    options.max_batch = 3;
    model.decoded_rows_ = 0;
    double total = 0;
    for (const auto& row : beam_search(model, requests, options)) total += row[0].score;
    work.push_back(model.decoded_rows_);
    best.push_back(total);
  }
  EXPECT_LT(work[0], work[1]);
  EXPECT_LT(work[1], work[2]);
  EXPECT_LE(best[0], best[1] + 1e-6);
  EXPECT_LE(best[1], best[2] + 1e-6);
}

TEST(Beam, does_not_depend_on_the_batch) {
  LlmConfig config;
  config.vocab_size = 24;
  config.hidden_size = 32;
  config.intermediate_size = 48;
  config.num_hidden_layers = 2;
  config.initializer_range = 0.3;
  const auto model = new_decoder(config, 1);
  const ItemTrie trie(random_titles(40, 5), 24);
  std::vector<BeamRequest> requests;
  for (int64_t p = 0; p < 10; ++p)
    requests.push_back(
        {std::vector<int64_t>(static_cast<size_t>(2 + p % 3), p), p % 2 == 0 ? &trie : nullptr});
  BeamOptions options;
  options.num_beams = 4;
  options.max_new_tokens = 9;
  options.eos_ids = {3};
  const auto together = beam_search(*model, requests, options);
  int64_t done = 0;
  options.on_progress = [&](int64_t n) { EXPECT_EQ(n, ++done); };
  options.max_batch = 1;
  const auto single = beam_search(*model, requests, options);
  EXPECT_EQ(done, 10);
  for (size_t p = 0; p < requests.size(); ++p) {
    ASSERT_EQ(together[p].size(), single[p].size());
    for (size_t k = 0; k < single[p].size(); ++k) {
      EXPECT_EQ(together[p][k].ids, single[p][k].ids);
      EXPECT_NEAR(together[p][k].score, single[p][k].score, 1e-4);
    }
  }
}

TEST(Beam, refuses_what_cannot_be_run) {
  FakeLlm model;
  const auto run = [&](const BeamRequest& request, const BeamOptions& options) {
    beam_search(model, std::span(&request, 1), options);
  };
  BeamOptions wide, few, none, long_text;
  wide.num_beams = 0;
  few.num_return_sequences = 5;
  none.max_new_tokens = 0;
  long_text.max_new_tokens = 512;
  for (const BeamOptions& bad : {wide, few, none, long_text})
    EXPECT_THROW(run({{1}, nullptr}, bad), Error);
  EXPECT_THROW(run({{}, nullptr}, {}), Error);
  model.parameters()["scale"].fill_(std::numeric_limits<float>::quiet_NaN());
  EXPECT_THROW(run({{1}, nullptr}, {}), Error);
}

}  // namespace
}  // namespace etrlrec
