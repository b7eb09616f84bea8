// Judging (method.md G.7): any model on the rows of one candidate file under a named protocol, or
// on the test rows against the whole catalogue. The model is a language model, a recommender, the
// program that teaches, the exact rule of a synthetic world or chance.
#pragma once

#include "method/evaluation.h"
#include "method/memory_estimate.h"

namespace etrlrec {

// Errors (kUsage): a model whose prompts show patterns without a recommender, or the reverse;
// kModel for a recommender of another type than it was trained with.
EvaluateSetup setup(const EvaluateOptions& options);
// Memory and work of a language model. Error (kUsage) for every other model, which needs next to
// nothing.
MemoryEstimate plan(const EvaluateSetup& setup);
// Errors: kMemory where the plan does not fit, kModel for a model of another data set.
Evaluation run(EvaluateSetup setup);

}  // namespace etrlrec
