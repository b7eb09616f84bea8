// A step: one matrix product gives the logits of all beams of all prompts; each beam keeps its best
// continuations; each prompt merges those of its beams, finishes some and lets the rest grow. The
// cache follows by keep_rows, which copies a beam that is continued twice.
#include "engine/beam.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "engine/head_logits.h"

namespace etrlrec {
namespace {

struct Continuation {
  double sum = 0;
  float logprob = 0;
  int64_t beam = 0, token = 0, node = 0;  // node: reached in the trie
};

bool is_better(const Continuation& a, const Continuation& b) {
  if (a.sum != b.sum) return a.sum > b.sum;
  return std::pair(a.beam, a.token) < std::pair(b.beam, b.token);
}

// The best `count` of all that are added, in no order.
class Best {
 public:
  explicit Best(size_t count) : count_(count) {}
  bool admits(double sum) const { return heap_.size() < count_ || sum >= heap_.front().sum; }
  void add(const Continuation& continuation) {
    heap_.push_back(continuation);
    std::push_heap(heap_.begin(), heap_.end(), is_better);
    if (heap_.size() <= count_) return;
    std::pop_heap(heap_.begin(), heap_.end(), is_better);  // the worst one goes to the end
    heap_.pop_back();
  }
  const std::vector<Continuation>& values() const { return heap_; }

 private:
  size_t count_;
  std::vector<Continuation> heap_;
};

// The beams of one prompt.
class Search {
 public:
  Search(const BeamRequest& request, const BeamOptions& options)
      : items_(request.items),
        options_(&options),
        max_length_(items_ ? items_->max_length() : options.max_new_tokens) {
    running_.push_back({});
  }

  struct Beam {
    Hypothesis text;                             // score: plain sum
    int64_t node = ItemTrie::kRoot, parent = 0;  // parent: the beam it continues
  };
  const std::vector<Beam>& running() const { return running_; }
  bool is_done() const { return running_.empty(); }
  std::vector<Hypothesis> take_finished() { return std::move(finished_); }
  int64_t max_length() const { return max_length_; }

  // The continuations of one beam that can be among the best of all; several beams at a time from
  // several threads.
  std::vector<Continuation> extend(int64_t beam, std::span<const float> logits,
                                   float normalizer) const {
    const Beam& from = running_[static_cast<size_t>(beam)];
    Best best(static_cast<size_t>(num_kept()));
    const auto offer = [&](int64_t token, int64_t node) {
      const float logprob = logits[static_cast<size_t>(token)] - normalizer;
      const double sum = from.text.score + logprob;
      if (best.admits(sum)) best.add({sum, logprob, beam, token, node});
    };
    if (items_ == nullptr) {
      for (size_t token = 0; token < logits.size(); ++token) offer(static_cast<int64_t>(token), 0);
    } else {
      int64_t node = items_->first_child(from.node);
      for (int64_t token : items_->tokens(from.node)) offer(token, node++);
    }
    return best.values();
  }

  // One step further. As in Transformers only the num_beams best continuations may finish; worse
  // ones are there to keep num_beams beams alive.
  void advance(std::vector<Continuation> continuations) {
    std::sort(continuations.begin(), continuations.end(), is_better);
    const auto kept = std::min(continuations.size(), static_cast<size_t>(num_kept()));
    const auto width = static_cast<size_t>(options_->num_beams);
    ++length_;
    std::vector<Beam> next;
    for (size_t rank = 0; rank < kept; ++rank) {
      const Continuation& step = continuations[rank];
      if (!ends(step)) {
        if (next.size() < width) next.push_back(grown(step));
      } else if (rank < width) {
        finish(grown(step));
      }
    }
    std::stable_sort(finished_.begin(), finished_.end(),
                     [](const auto& a, const auto& b) { return a.score > b.score; });
    if (finished_.size() > width) finished_.resize(width);
    running_ = std::move(next);
    if (!can_improve()) running_.clear();
  }

 private:
  int64_t num_kept() const {
    const auto ends = items_ ? 1 : static_cast<int64_t>(options_->eos_ids.size());
    return std::max<int64_t>(2, 1 + ends) * options_->num_beams;
  }
  bool ends(const Continuation& step) const {
    if (items_) return items_->is_leaf(step.node);
    const auto& eos = options_->eos_ids;
    return length_ == max_length_ || std::find(eos.begin(), eos.end(), step.token) != eos.end();
  }
  Beam grown(const Continuation& step) const {
    Beam beam = running_[static_cast<size_t>(step.beam)];
    beam.text.ids.push_back(step.token);
    beam.text.logprobs.push_back(step.logprob);
    beam.text.score = step.sum;
    beam.node = step.node;
    beam.parent = step.beam;
    return beam;
  }
  double penalised(double sum, int64_t length) const {
    return sum / std::pow(static_cast<double>(length), options_->length_penalty);
  }
  void finish(Beam beam) {
    beam.text.score = penalised(beam.text.score, length_);
    if (items_) {
      const auto items = items_->items(beam.node);
      beam.text.items.assign(items.begin(), items.end());
    }
    finished_.push_back(std::move(beam.text));
  }
  bool can_improve() const {
    if (running_.empty()) return false;
    if (static_cast<int64_t>(finished_.size()) < options_->num_beams) return true;
    if (options_->early_stopping == EarlyStopping::kTrue) return false;
    const bool to_the_end =
        options_->early_stopping == EarlyStopping::kNever && options_->length_penalty > 0;
    return penalised(running_[0].text.score, to_the_end ? max_length_ : length_) >
           finished_.back().score;
  }

  const ItemTrie* items_;
  const BeamOptions* options_;
  int64_t max_length_;
  int64_t length_ = 0;
  std::vector<Beam> running_;
  std::vector<Hypothesis> finished_;
};

// Prompts that grow in one cache.
class BeamBatch {
 public:
  BeamBatch(const LanguageModel& model, std::span<const BeamRequest> requests,
            const BeamOptions& options, HeadLogits& head)
      : model_(model), requests_(requests), options_(options), head_(head) {
    for (const BeamRequest& request : requests) searches_.emplace_back(request, options);
  }

  std::vector<Search>& run() {
    std::vector<std::span<const int64_t>> prompts;
    std::vector<int64_t> first_rows;  // of the beams of each prompt; one of an empty text at first
    int64_t capacity = 0;
    for (size_t p = 0; p < requests_.size(); ++p) {
      prompts.emplace_back(requests_[p].prompt);
      first_rows.push_back(static_cast<int64_t>(p));
      capacity = std::max(capacity, searches_[p].max_length() - 1);
    }
    const auto cache = model_.new_cache(std::ssize(prompts) * options_.num_beams, capacity);
    at::Tensor hidden = admit_prompts(model_, *cache, prompts, first_rows, options_.prefix_cache);
    while (step(hidden)) {
      std::vector<int64_t> rows, ids;
      for (size_t p = 0; p < searches_.size(); ++p) {
        const int64_t first_row = first_rows[p];
        first_rows[p] = std::ssize(rows);
        for (const Search::Beam& beam : searches_[p].running()) {
          rows.push_back(first_row + beam.parent);
          ids.push_back(beam.text.ids.back());
        }
      }
      cache->keep_rows(rows);
      hidden = model_.decode(*cache, ids);
    }
    return searches_;
  }

 private:
  // Advances every prompt; false when all are done. hidden: of the running beams of all prompts.
  bool step(const at::Tensor& hidden) {
    struct Row {
      size_t search;
      int64_t beam;
    };
    std::vector<Row> rows;
    for (size_t p = 0; p < searches_.size(); ++p)
      for (size_t b = 0; b < searches_[p].running().size(); ++b)
        rows.push_back({p, static_cast<int64_t>(b)});
    std::vector<std::vector<Continuation>> found(rows.size());
    std::vector<float> normalizers(rows.size());
    head_.for_each_row(
        hidden, [&](int64_t i, std::span<const float> logits, SamplingScratch& scratch) {
          const auto at = static_cast<size_t>(i);
          normalizers[at] = log_normalizer(logits, scratch);
          found[at] = searches_[rows[at].search].extend(rows[at].beam, logits, normalizers[at]);
        });
    for (float normalizer : normalizers)
      CHECK(
          std::isfinite(normalizer), kNumbers,
          "beam search: logits are not finite\nhint: the model's weights are damaged or diverged");
    bool is_running = false;
    for (size_t p = 0, i = 0; p < searches_.size(); ++p) {
      std::vector<Continuation> continuations;
      for (; i < rows.size() && rows[i].search == p; ++i)
        continuations.insert(continuations.end(), found[i].begin(), found[i].end());
      if (!continuations.empty()) searches_[p].advance(std::move(continuations));
      is_running = is_running || !searches_[p].is_done();
    }
    return is_running;
  }

  const LanguageModel& model_;
  std::span<const BeamRequest> requests_;
  const BeamOptions& options_;
  HeadLogits& head_;
  std::vector<Search> searches_;
};

void check_beams(const LanguageModel& model, std::span<const BeamRequest> requests,
                 const BeamOptions& options) {
  CHECK(options.num_beams > 0, kUsage, "--num-beams: expected a positive number, found {}",
        options.num_beams);
  CHECK(options.num_return_sequences >= 0 && options.num_return_sequences <= options.num_beams,
        kUsage, "--num-return-sequences: expected at most the {} beams, found {}",
        options.num_beams, options.num_return_sequences);
  CHECK(options.max_new_tokens > 0, kUsage,
        "--max-new-tokens: expected a positive number, found {}", options.max_new_tokens);
  CHECK(std::isfinite(options.length_penalty), kUsage,
        "--length-penalty: expected a number, found {}", options.length_penalty);
  for (size_t i = 0; i < requests.size(); ++i) {
    CHECK(!requests[i].prompt.empty(), kInput, "prompt {}: expected at least one token", i);
    const int64_t grows =
        requests[i].items ? requests[i].items->max_length() : options.max_new_tokens;
    CHECK(static_cast<int64_t>(requests[i].prompt.size()) + grows <= model.max_length(), kInput,
          "prompt {}: {} tokens and up to {} new ones are more than the model's {} positions", i,
          requests[i].prompt.size(), grows, model.max_length());
  }
}

}  // namespace

std::vector<std::vector<Hypothesis>> beam_search(const LanguageModel& model,
                                                 std::span<const BeamRequest> requests,
                                                 const BeamOptions& options) {
  const at::NoGradGuard no_grad;
  check_beams(model, requests, options);
  const auto wanted = static_cast<size_t>(
      options.num_return_sequences > 0 ? options.num_return_sequences : options.num_beams);
  const auto at_once =
      static_cast<size_t>(std::max<int64_t>(options.max_batch / options.num_beams, 1));
  HeadLogits head(model);
  std::vector<std::vector<Hypothesis>> out;
  for (size_t begin = 0; begin < requests.size(); begin += at_once) {
    const size_t count = std::min(at_once, requests.size() - begin);
    BeamBatch batch(model, requests.subspan(begin, count), options, head);
    for (Search& search : batch.run()) {
      out.push_back(search.take_finished());
      if (out.back().size() > wanted) out.back().resize(wanted);
    }
    if (options.on_progress) options.on_progress(static_cast<int64_t>(out.size()));
  }
  return out;
}

}  // namespace etrlrec
