#include "temporal/row_view.h"

#include "base/check.h"
#include "data/histories.h"
#include "temporal/encoding.h"

namespace etrlrec {

RowView::RowView(const Catalogue& catalogue, const TemporalStatistics* statistics,
                 const Request& request, const PromptOptions& options)
    : catalogue_(&catalogue),
      statistics_(statistics),
      request_(with_recent_history(request, options.max_history)),
      options_(options) {}

const FactSheet& RowView::facts() const {
  CHECK(statistics_ != nullptr, kFailure, "row view: facts were asked for without statistics");
  if (!facts_) facts_ = compute_facts(*catalogue_, *statistics_, request_);
  return *facts_;
}

const std::string& RowView::prompt() const {
  if (!prompt_) prompt_ = student_prompt(*catalogue_, request_, options_);
  return *prompt_;
}

std::vector<std::string> RowView::answers() const {
  return answer_texts(*catalogue_, request_, options_);
}

std::vector<int64_t> RowView::encoding(const Tokenizer& tokenizer, std::span<const int64_t> before,
                                       std::span<const int64_t> after) const {
  return encode_between(tokenizer, before, prompt(), after);
}

}  // namespace etrlrec
