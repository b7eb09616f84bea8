// A budget in tokens or money. A call starts only if the most it can cost is still there, so that
// calls which run at the same time cannot spend the same rest.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>

namespace etrlrec {

struct TokenUsage {
  int64_t prompt_tokens = 0, completion_tokens = 0;
  int64_t total() const { return prompt_tokens + completion_tokens; }
};
struct TokenPrices {
  double prompt = 0, completion = 0;  // per million tokens, in any currency
  double of(const TokenUsage& usage) const;
};

struct BudgetOptions {
  int64_t max_tokens = 0;  // 0: no limit
  double max_money = 0;    // 0: no limit
  TokenPrices prices{};
};

// For several threads.
class Budget {
 public:
  // `spent`: by earlier runs. Errors (kUsage): limits or prices below 0, a limit in money without a
  // price.
  Budget(BudgetOptions options, const TokenUsage& spent);
  // Sets `most` aside; false where it may be more than what is left.
  bool reserve(const TokenUsage& most);
  // Ends a reservation; `used`: what the call cost, nothing where it failed.
  void settle(const TokenUsage& most, const TokenUsage& used);
  TokenUsage spent() const;
  double money() const;
  std::string text() const;  // "1200 of 5000 tokens", with money where there are prices

 private:
  const BudgetOptions options_;
  mutable std::mutex mutex_;
  TokenUsage spent_, reserved_;
};

}  // namespace etrlrec
