// Lists of a conventional recommender (method.md B.9): of rows of the training part each from one
// that has not learned from the row's user, or from nothing as late as the row, because lists of
// one that knows the answers would not show how it generalises.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "method/pattern.h"
#include "method/user_folds.h"
#include "nn/numerics.h"

namespace etrlrec {

class CrossFittedLists {
 public:
  // Folders of fit: one that says until when it has learned (--train-share), or several that say
  // which fold of users each has left out (--folds, --leave-out-fold). `dataset` outlives this.
  // `protocol`: of the split that rows come from; empty where no row of the training part is asked
  // about. Lists have exactly `items` items. Errors: kUsage for no folder or a number of items
  // below 2; kModel for recommenders of different types, of another catalogue or split, a fold
  // twice, folds of another number or seed, and several that have left nobody out. Warns of folds
  // that are missing.
  CrossFittedLists(const std::vector<std::string>& folders, const Dataset& dataset,
                   const std::string& protocol, const Numerics& numerics, int32_t items);

  std::string recommender() const { return sources_.front().pattern.record().recommender; }
  struct Record {
    PatternRecord pattern;
    UserFold left_out;
  };
  std::vector<Record> records() const;
  // All of them as one recommender: their type, and of several the SHA-256 of all their hashes.
  PatternRecord record() const;

  // Whether one of them may be asked about this row of the training part.
  bool may_ask(const Row& row) const;
  // The list of each row, in the order of the rows, best first: of all items those whose titles are
  // not among the user's events before the row, however many, and not in the list already. Empty,
  // which the log counts, where no recommender may be asked or the catalogue has too few.
  std::vector<std::vector<int32_t>> lists(std::span<const Row> rows) const;

  // The lists of requests after the training part, each from the recommender that has left out its
  // user, else from the first one. Titles of the request's history are left out, which is what a
  // recommender may see (kRecommenderHistory); a list is shorter where the catalogue has no more.
  std::vector<std::vector<int32_t>> lists(std::span<const Request> requests) const;

 private:
  struct Source {
    PatternSource pattern;
    UserFold left_out;
  };
  bool may_ask(const Source& source, const Row& row) const;
  // Whom a request after the training part is put to; never null.
  const Source* source_of(int32_t user) const;
  // Asks about these of the rows for `asked` items each, in batches; returns the places that have
  // come back with too few.
  std::vector<size_t> ask(const Source& source, std::span<const Row> rows,
                          std::span<const size_t> places, int64_t asked,
                          std::vector<std::vector<int32_t>>& lists) const;
  // The first `items` of the list whose titles are neither among `seen` nor in it before.
  std::vector<int32_t> unseen_titles(std::span<const int32_t> seen,
                                     std::span<const int32_t> list) const;

  const Dataset& dataset_;
  int32_t items_;
  std::vector<int32_t> canonical_;  // [N]
  std::vector<Source> sources_;
};

}  // namespace etrlrec
