// The facts of temporal_fixture.h's request, and what judging claims about it needs.
#pragma once

#include <gtest/gtest.h>

#include "temporal_fixture.h"

namespace etrlrec {

class ClaimsFixture : public testing::Test {
 protected:
  const Catalogue catalogue_ = small_catalogue();
  const TemporalStatistics statistics_ = small_statistics();
  const Request request_ = small_request();
  FactSheet facts_ = compute_facts(catalogue_, statistics_, request_);
  const ClaimContext context_{catalogue_, request_, facts_};
};

}  // namespace etrlrec
