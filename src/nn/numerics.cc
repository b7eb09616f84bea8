#include "nn/numerics.h"

namespace etrlrec {

bool takes_plain_way(const at::Tensor& tensor, const Numerics& numerics) {
  return !tensor.device().is_cpu() || numerics.arithmetic == Arithmetic::kReference;
}

}  // namespace etrlrec
