#include "remote/budget.h"

#include "base/check.h"

namespace etrlrec {
namespace {

TokenUsage sum(const TokenUsage& a, const TokenUsage& b) {
  return {a.prompt_tokens + b.prompt_tokens, a.completion_tokens + b.completion_tokens};
}

}  // namespace

double TokenPrices::of(const TokenUsage& usage) const {
  return 1e-6 * (prompt * static_cast<double>(usage.prompt_tokens) +
                 completion * static_cast<double>(usage.completion_tokens));
}

Budget::Budget(BudgetOptions options, const TokenUsage& spent) : options_(options), spent_(spent) {
  CHECK(options.max_tokens >= 0 && options.max_money >= 0 && options.prices.prompt >= 0 &&
            options.prices.completion >= 0,
        kUsage, "budget: expected limits and prices that are not negative");
  CHECK(options.max_money == 0 || options.prices.prompt + options.prices.completion > 0, kUsage,
        "--max-money: expected --price-prompt and --price-completion, per million tokens");
}

bool Budget::reserve(const TokenUsage& most) {
  const std::lock_guard lock(mutex_);
  const TokenUsage after = sum(sum(spent_, reserved_), most);
  if (options_.max_tokens > 0 && after.total() > options_.max_tokens) return false;
  if (options_.max_money > 0 && options_.prices.of(after) > options_.max_money) return false;
  reserved_ = sum(reserved_, most);
  return true;
}

void Budget::settle(const TokenUsage& most, const TokenUsage& used) {
  const std::lock_guard lock(mutex_);
  reserved_ = sum(reserved_, {-most.prompt_tokens, -most.completion_tokens});
  spent_ = sum(spent_, used);
}

TokenUsage Budget::spent() const {
  const std::lock_guard lock(mutex_);
  return spent_;
}

double Budget::money() const { return options_.prices.of(spent()); }

std::string Budget::text() const {
  const TokenUsage used = spent();
  std::string text = options_.max_tokens > 0
                         ? fmt::format("{} of {} tokens", used.total(), options_.max_tokens)
                         : fmt::format("{} tokens", used.total());
  if (options_.prices.prompt + options_.prices.completion <= 0) return text;
  text += fmt::format(", {:.4f}", options_.prices.of(used));
  if (options_.max_money > 0) text += fmt::format(" of {:.4f}", options_.max_money);
  return text + " in money";
}

}  // namespace etrlrec
