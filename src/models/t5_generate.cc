#include "models/t5_generate.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "models/t5_layers.h"

namespace etrlrec {
namespace {

using at::Tensor;

std::vector<int64_t> row_numbers(size_t count) {
  std::vector<int64_t> rows(count);
  std::iota(rows.begin(), rows.end(), 0);
  return rows;
}

bool contains(std::span<const int64_t> ids, int64_t id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

// A request of a beam search.
struct Search {
  size_t request = 0;
  int64_t first_row = 0;  // of the running beams
  std::vector<T5Beam> running, finished;
  std::vector<int64_t> parents;  // rows that the running beams continue
};

// All continuations by one token, best first, as many as may be needed to keep num_beams running.
struct Candidates {
  Tensor scores, index;  // index = beam * V + token
};
Candidates best_candidates(const Search& search, const Tensor& logprobs,
                           const T5BeamOptions& options) {
  std::vector<float> sums;
  for (const T5Beam& beam : search.running) sums.push_back(static_cast<float>(beam.score));
  const auto beams = static_cast<int64_t>(sums.size());
  const Tensor all =
      (logprobs.narrow(0, search.first_row, beams) + at::tensor(sums).unsqueeze(1)).flatten();
  const int64_t ends = std::max<int64_t>(1, static_cast<int64_t>(options.eos_token_ids.size()));
  const auto [scores, index] = all.topk(std::min((1 + ends) * options.num_beams, all.size(0)));
  CHECK(!scores.isnan().any().item<bool>(), kNumbers,
        "beam search: expected finite log-probabilities, found NaN");
  return {scores, index};
}

// One step of one request; false when it is done. Running beams have sums, finished ones scores.
bool advance(Search& search, const Tensor& logprobs, int64_t length, const T5BeamOptions& options) {
  const Candidates candidates = best_candidates(search, logprobs, options);
  const double divisor = std::pow(static_cast<double>(length), options.length_penalty);
  const int64_t vocab_size = logprobs.size(1);
  const float* scores = candidates.scores.const_data_ptr<float>();
  const int64_t* index = candidates.index.const_data_ptr<int64_t>();
  std::vector<T5Beam> running;
  search.parents.clear();
  for (int64_t i = 0; i < candidates.index.size(0); ++i) {
    if (std::isinf(scores[i])) break;  // only tokens that the step forbids are left
    const int64_t from = index[i] / vocab_size, token = index[i] % vocab_size;
    const bool ends = length == options.max_new_tokens || contains(options.eos_token_ids, token);
    if (ends ? i >= options.num_beams : static_cast<int64_t>(running.size()) == options.num_beams) {
      continue;
    }
    T5Beam beam{search.running[static_cast<size_t>(from)].ids, scores[i]};
    beam.ids.push_back(token);
    if (ends) {
      beam.score /= divisor;
      search.finished.push_back(std::move(beam));
    } else {
      running.push_back(std::move(beam));
      search.parents.push_back(search.first_row + from);
    }
  }
  search.running = std::move(running);
  std::stable_sort(search.finished.begin(), search.finished.end(),
                   [](const T5Beam& a, const T5Beam& b) { return a.score > b.score; });
  const auto wanted = static_cast<size_t>(options.num_beams);
  if (search.finished.size() > wanted) search.finished.resize(wanted);
  if (search.running.empty()) return false;
  return search.finished.size() < wanted ||
         search.running[0].score / divisor > search.finished.back().score;
}

Tensor log_softmax_of(const T5& model, const Tensor& states) {
  return at::log_softmax(at::mm(states, model.head_weight().t()), -1);
}

}  // namespace

struct T5Cache::Layer {
  Tensor keys, values;            // [rows, H, capacity, D]
  std::vector<KeyValue> sources;  // of every encoder row
};

T5Cache::~T5Cache() = default;

T5Cache::T5Cache(const T5& model, const StateRows& encoded, std::span<const int64_t> source_of_row,
                 int64_t capacity)
    : model_(model),
      weights_(std::make_unique<const T5Weights>(model.weights())),
      source_of_row_(source_of_row.begin(), source_of_row.end()),
      capacity_(capacity) {
  const at::NoGradGuard no_grad;
  CHECK(capacity > 0, kUsage, "T5 cache: expected a positive capacity, found {}", capacity);
  const T5Config& config = model.config();
  check_rows(encoded, config.d_model, "T5 cache");
  check_sources(source_of_row, encoded);
  for (const T5Block& block : weights_->decoder.blocks) {
    Layer layer;
    layer.keys = at::empty({num_rows(), config.num_heads, capacity, config.d_kv});
    layer.values = at::empty_like(layer.keys);
    layer.sources =
        source_heads(linear(encoded.states, block.cross_kv), encoded.lengths, config.num_heads);
    for (KeyValue& source : layer.sources)
      source = {source.key.contiguous(), source.value.contiguous()};
    layers_.push_back(std::move(layer));
  }
}

void T5Cache::keep_rows(std::span<const int64_t> rows) {
  const at::NoGradGuard no_grad;
  for (int64_t row : rows) {
    CHECK(row >= 0 && row < num_rows(), kUsage, "T5 cache: expected rows in [0, {}), found {}",
          num_rows(), row);
  }
  const std::vector<int64_t> wanted(rows.begin(), rows.end());
  if (wanted == row_numbers(source_of_row_.size())) return;
  const Tensor index = at::tensor(wanted, at::kLong);
  const auto keep = [&](Tensor& memory) {
    std::vector<int64_t> sizes = memory.sizes().vec();
    sizes[0] = static_cast<int64_t>(wanted.size());
    const Tensor kept = at::empty(sizes);
    kept.narrow(2, 0, length_).copy_(memory.narrow(2, 0, length_).index_select(0, index));
    memory = kept;
  };
  for (Layer& layer : layers_) {
    keep(layer.keys);
    keep(layer.values);
  }
  std::vector<int64_t> sources;
  for (int64_t row : wanted) sources.push_back(source_of_row_[static_cast<size_t>(row)]);
  source_of_row_ = std::move(sources);
}

Tensor T5Cache::decode(std::span<const int64_t> ids) {
  const at::NoGradGuard no_grad;
  const T5Config& config = model_.config();
  CHECK(static_cast<int64_t>(ids.size()) == num_rows(), kUsage,
        "T5 cache: expected {} tokens, found {}", num_rows(), ids.size());
  model_.check_ids(ids);
  CHECK(length_ < capacity_, kUsage, "T5 cache: the rows have reached the capacity of {} tokens",
        capacity_);
  if (ids.empty()) return at::empty({0, config.d_model});
  const T5Stack& stack = weights_->decoder;
  const std::vector<RowRun> runs = source_runs(std::vector<int64_t>(ids.size(), 1), source_of_row_);
  const Tensor bias = relative_position_bias(stack, config, false, length_, 1, length_ + 1);
  ResidualStream x(
      at::embedding(weights_->shared, at::tensor(std::vector<int64_t>(ids.begin(), ids.end()))),
      config.layer_norm_epsilon);
  for (size_t l = 0; l < layers_.size(); ++l) {
    const T5Block& block = stack.blocks[l];
    const Layer& layer = layers_[l];
    const std::vector<Tensor> heads =
        split_heads(linear(x.normed(block.self_norm), block.qkv), num_rows(), 3, config.num_heads);
    layer.keys.narrow(2, length_, 1).copy_(heads[1]);
    layer.values.narrow(2, length_, 1).copy_(heads[2]);
    const Tensor attended = biased_attention(heads[0], layer.keys.narrow(2, 0, length_ + 1),
                                             layer.values.narrow(2, 0, length_ + 1), bias);
    x.add(linear(attended, block.o));
    const Tensor q = linear(x.normed(block.cross_norm), block.cross_q);
    x.add(linear(cross_attention(q, runs, layer.sources), block.cross_o));
    x.add(feed_forward(block, x.normed(block.feed_forward_norm)));
  }
  ++length_;
  return head_input(x, stack, config);
}

std::vector<std::vector<int64_t>> generate_greedy(const T5& model, const StateRows& encoded,
                                                  int64_t max_new_tokens,
                                                  std::span<const int64_t> eos_token_ids) {
  const at::NoGradGuard no_grad;
  std::vector<std::vector<int64_t>> out(encoded.lengths.size());
  std::vector<int64_t> growing = row_numbers(out.size()),
                       last(out.size(), model.config().decoder_start_token_id);
  T5Cache cache(model, encoded, growing, max_new_tokens);
  for (int64_t step = 0; step < max_new_tokens && !growing.empty(); ++step) {
    const Tensor best = at::mm(cache.decode(last), model.head_weight().t()).argmax(-1);
    std::vector<int64_t> kept;
    last.clear();
    for (int64_t r = 0; r < best.size(0); ++r) {
      const int64_t token = best.const_data_ptr<int64_t>()[r];
      out[static_cast<size_t>(growing[static_cast<size_t>(r)])].push_back(token);
      if (contains(eos_token_ids, token)) continue;
      kept.push_back(r);
      last.push_back(token);
    }
    cache.keep_rows(kept);
    for (int64_t& row : kept) row = growing[static_cast<size_t>(row)];
    growing = std::move(kept);
  }
  return out;
}

std::vector<std::vector<T5Beam>> beam_search(const Tensor& first, const T5BeamOptions& options,
                                             const T5BeamStep& step) {
  CHECK(options.num_beams > 0 && options.max_new_tokens > 0, kUsage,
        "beam search: expected positive num_beams and max_new_tokens, found {} and {}",
        options.num_beams, options.max_new_tokens);
  std::vector<std::vector<T5Beam>> out(static_cast<size_t>(first.size(0)));
  std::vector<Search> searches;
  for (size_t request = 0; request < out.size(); ++request)
    searches.push_back({request, static_cast<int64_t>(request), {T5Beam{}}, {}, {}});
  Tensor logprobs = first;
  for (int64_t length = 1;; ++length) {
    std::vector<Search> going;
    std::vector<int64_t> ids, parents;
    for (Search& search : searches) {
      if (!advance(search, logprobs, length, options)) {
        out[search.request] = std::move(search.finished);
        continue;
      }
      search.first_row = static_cast<int64_t>(ids.size());
      for (const T5Beam& beam : search.running) ids.push_back(beam.ids.back());
      parents.insert(parents.end(), search.parents.begin(), search.parents.end());
      going.push_back(std::move(search));
    }
    if (going.empty()) return out;
    searches = std::move(going);
    logprobs = step(ids, parents);
  }
}

std::vector<std::vector<T5Beam>> generate_beams(const T5& model, const StateRows& encoded,
                                                const T5BeamOptions& options) {
  const at::NoGradGuard no_grad;
  const std::vector<int64_t> start(encoded.lengths.size(), model.config().decoder_start_token_id);
  T5Cache cache(model, encoded, row_numbers(start.size()), options.max_new_tokens);
  return beam_search(log_softmax_of(model, cache.decode(start)), options,
                     [&](std::span<const int64_t> ids, std::span<const int64_t> parents) {
                       cache.keep_rows(parents);
                       return log_softmax_of(model, cache.decode(ids));
                     });
}

}  // namespace etrlrec
