// The reference of a policy as it was before the first step. It is either a frozen copy or, where
// only an adapter is trained, the policy itself with its adapter off.
#pragma once

#include "models/language_model.h"

namespace etrlrec {

// Adapters off while it lives, when the reference is the policy itself.
class ReferenceScope {
 public:
  ReferenceScope(LanguageModel& policy, const LanguageModel& reference)
      : policy_(policy), switched_(&policy == &reference) {
    if (switched_) policy_.adapters().set_enabled(false);
  }
  ReferenceScope(const ReferenceScope&) = delete;
  ~ReferenceScope() {
    if (switched_) policy_.adapters().set_enabled(true);
  }

 private:
  LanguageModel& policy_;
  bool switched_;
};

}  // namespace etrlrec
