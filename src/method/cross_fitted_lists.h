// Lists of a conventional recommender for rows of the training part, each from one that has not
// learned from the row's user, or from nothing as late as the row (method.md B.9): lists of one
// that knows the answers would not show how it generalises.
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
  // `protocol`: of the split that rows come from. Lists have exactly `items` items. Errors: kUsage
  // for no folder or a number of items below 2; kModel for recommenders of different types, of
  // another catalogue or split, a fold twice, folds of another number or seed, and several that
  // have left nobody out. Warns of folds that are missing.
  CrossFittedLists(const std::vector<std::string>& folders, const Dataset& dataset,
                   const std::string& protocol, const Numerics& numerics, int32_t items);

  std::string recommender() const { return sources_.front().pattern.record().recommender; }
  struct Record {
    PatternRecord pattern;
    UserFold left_out;
  };
  std::vector<Record> records() const;

  // The list of each row, in the order of the rows, best first: of all items those whose titles are
  // not among the user's events before the row, however many, and not in the list already. Empty,
  // which the log counts, where no recommender may be asked or the catalogue has too few.
  std::vector<std::vector<int32_t>> lists(std::span<const Row> rows) const;

 private:
  struct Source {
    PatternSource pattern;
    UserFold left_out;
  };
  bool may_ask(const Source& source, const Row& row) const;
  // Asks about these of the rows for `asked` items each, in batches; returns the places that have
  // come back with too few.
  std::vector<size_t> ask(const Source& source, std::span<const Row> rows,
                          std::span<const size_t> places, int64_t asked,
                          std::vector<std::vector<int32_t>>& lists) const;
  std::vector<int32_t> unseen_titles(const Row& row, std::span<const int32_t> list) const;

  const Dataset& dataset_;
  int32_t items_;
  std::vector<int32_t> canonical_;  // [N]
  std::vector<Source> sources_;
};

}  // namespace etrlrec
