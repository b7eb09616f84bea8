// The style "compact", written for small models: one attention step finds what is to be copied. The
// word to look for comes first and what is looked up right after it, in the same order in prompt
// and reasoning. Numbers and words are preceded by one blank, everywhere, so that a byte-level
// tokenizer gives each the same piece in every place:
//   History; start drama Hollow River; week crime Paper Crown
//   Now; month winter
//   Candidates; crime 1 Silent Bridge; drama 2 Hollow River II
//   <reasoning>
// or, with answers by title,
//   History; start winter Hollow River; drama week Paper Crown; crime month
// What a recommender puts first (PromptOptions::knowledge) is one more line, by candidate number
// after the candidates, or by title after the history, where the moment and the answer follow it:
//   Pattern; 2; 1
//   Pattern; Hollow River II; Silent Bridge; month
// Titles are escaped, so tags or claims inside a title cannot open or close anything. The answer
// keeps the contract of answer_tags.h.
#pragma once

#include "temporal/style.h"

namespace etrlrec {

PromptStyle compact_style();

}  // namespace etrlrec
