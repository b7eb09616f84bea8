// One linear layer with its adapter slot.
#pragma once

#include <torch/types.h>

#include "nn/noise.h"

namespace etrlrec {

// y = weight x + bias + lora_scale * lora_B (lora_A dropout(x)). The weight may be stored as
// bfloat16 or int8 (nn/weight.h), then it is frozen.
struct LinearPart {
  at::Tensor weight;          // [out, in]
  at::Tensor bias;            // [out] or undefined
  at::Tensor lora_A, lora_B;  // [rank, in], [out, rank] or undefined; AdaLoRA: lora_A is E A
  double lora_scale = 0;
  DropoutMask lora_dropout = {};
};

}  // namespace etrlrec
