// Claims as English sentences, and back (sentence_forms.h has the table). Reading tolerates case,
// articles, a few words of emphasis, clauses joined by "and", "but" or ";", numbers in words and
// rounding. A sentence that fits no form is no claim: it neither earns nor costs. A number or a
// title that is wrong makes the claim a false or unverifiable one, not plain text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/rng.h"
#include "temporal/claims.h"

namespace etrlrec {

// How sentences name attributes: as one word that claims can be read back from, or by their names.
enum class AttributeNames : int8_t { kWords, kFull };

// The plainest form, without the number behind the claim and without a full stop; empty where the
// claim names nothing of this context.
std::string claim_sentence(const Claim& claim, const ClaimContext& context, AttributeNames names);
// One of all forms that fit, with the measured number where the form states one and the claim is
// true. Draws one number.
std::string varied_sentence(const Claim& claim, const ClaimContext& context, Rng& rng);

// The spans of claims are whole clauses. At most kMaxReasoningBytes and kMaxClaims are read. Linear
// in the text, for any bytes.
ReasoningReading read_sentences(std::string_view reasoning, const ClaimContext& context);

}  // namespace etrlrec
