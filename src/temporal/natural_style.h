// The style "natural": plain English for models that have learned to read it. A history is a list,
// a line for each entry, which begins with the time that passed:
//   Chosen so far:
//   In winter: Hollow River (1994); drama
//   Days later: Paper Crown; crime
//   Weeks later, in spring:
// and an answer by title goes on with it, " Silent Bridge;". Prompts with answers by number list
// the candidates, "1: Silent Bridge; crime". A reasoning is sentences (sentences.h) and ends with
// "So:"; a title stands behind it as in a list:
//   So: Paper Crown; crime
//   Weeks later, in spring: Silent Bridge;
// Titles are written as they are, but for ';' and double quotes.
#pragma once

#include "temporal/style.h"

namespace etrlrec {

PromptStyle natural_style();

}  // namespace etrlrec
