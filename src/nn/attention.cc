// The autograd function over attention_tree.h: one input [T, (H + 2 H_kv) D] with queries, keys and
// values side by side.
#include "nn/attention.h"

#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "base/check.h"
#include "kernels/attention_bfloat16.h"
#include "nn/attention_dense.h"
#include "nn/attention_tree.h"

namespace etrlrec {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct PlanHolder : torch::CustomClassHolder {
  explicit PlanHolder(std::shared_ptr<const ForestPlan> p) : plan(std::move(p)) {}
  std::shared_ptr<const ForestPlan> plan;
};

Rows rows_of(const Tensor& packed, const HeadShape& shape, int64_t first_head) {
  return {packed.data_ptr<float>() + first_head * shape.head_dim, packed.stride(0), shape.head_dim};
}

AttentionProblem problem_of(const Tensor& qkv, const ForestPlan& plan, const HeadShape& shape,
                            const Tensor& cos, const Tensor& sin, double scale) {
  AttentionProblem p;
  p.plan = &plan;
  p.shape = shape;
  p.scale = static_cast<float>(scale);
  if (cos.numel() > 0) {
    p.cos = cos.data_ptr<float>();
    p.sin = sin.data_ptr<float>();
  }
  p.query = rows_of(qkv, shape, 0);
  p.key = rows_of(qkv, shape, shape.num_heads);
  p.value = rows_of(qkv, shape, shape.num_heads + shape.num_key_value_heads);
  return p;
}

class PackedAttention : public torch::autograd::Function<PackedAttention> {
 public:
  static Tensor forward(AutogradContext* ctx, const Tensor& qkv, const at::IValue& holder,
                        std::vector<int64_t> shape, const std::optional<Tensor>& maybe_cos,
                        const std::optional<Tensor>& maybe_sin, double scale) {
    const Tensor cos = maybe_cos.value_or(Tensor()), sin = maybe_sin.value_or(Tensor());
    const HeadShape heads{shape[0], shape[1], shape[2], shape[3], shape[4] != 0};
    const auto plan = static_cast<PlanHolder*>(holder.toCapsule().get())->plan;
    const int64_t tokens = qkv.size(0);
    Tensor out = at::empty({tokens, heads.num_heads * heads.head_dim}, qkv.options());
    Tensor logsumexp = at::empty({tokens, heads.num_heads}, qkv.options());
    attention_forward(problem_of(qkv, *plan, heads, cos, sin, scale), rows_of(out, heads, 0),
                      logsumexp.data_ptr<float>());
    ctx->save_for_backward({qkv, out, logsumexp, cos, sin});
    ctx->saved_data["plan"] = holder;
    ctx->saved_data["shape"] = shape;
    ctx->saved_data["scale"] = scale;
    return out;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const Tensor &qkv = saved[0], &out = saved[1], &logsumexp = saved[2];
    const std::vector<int64_t> shape = ctx->saved_data["shape"].toIntVector();
    const HeadShape heads{shape[0], shape[1], shape[2], shape[3], shape[4] != 0};
    const auto plan = static_cast<PlanHolder*>(ctx->saved_data["plan"].toCapsule().get())->plan;
    const Tensor out_gradient = gradients[0].contiguous();
    Tensor gradient = at::empty_like(qkv);
    AttentionGradient g;
    g.out = rows_of(out, heads, 0);
    g.out_gradient = rows_of(out_gradient, heads, 0);
    g.logsumexp = logsumexp.data_ptr<float>();
    g.query = rows_of(gradient, heads, 0);
    g.key = rows_of(gradient, heads, heads.num_heads);
    g.value = rows_of(gradient, heads, heads.num_heads + heads.num_key_value_heads);
    attention_backward(
        problem_of(qkv, *plan, heads, saved[3], saved[4], ctx->saved_data["scale"].toDouble()), g);
    return {gradient, Tensor(), Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

}  // namespace

std::shared_ptr<const ForestPlan> plan_forest(const TokenForest& forest) {
  return std::make_shared<const ForestPlan>(forest);
}

namespace {

void check_problem(const Tensor& qkv, const ForestPlan& plan, const HeadShape& shape,
                   const RotaryTable& rotary) {
  CHECK(qkv.dim() == 2 && qkv.size(0) == plan.num_tokens && qkv.size(1) == shape.packed_width() &&
            qkv.scalar_type() == at::kFloat,
        kModel, "attention: expected float [{}, {}], found {} columns of {} rows", plan.num_tokens,
        shape.packed_width(), qkv.size(-1), qkv.size(0));
  CHECK(shape.num_heads % shape.num_key_value_heads == 0, kModel,
        "attention: expected a multiple of {} heads, found {}", shape.num_key_value_heads,
        shape.num_heads);
  CHECK(!shape.uses_bfloat16_math || can_round_attention(shape.head_dim), kUsage,
        "attention in bfloat16 arithmetic: expected AVX512_BF16 and heads of a multiple of 32, "
        "found heads of {}",
        shape.head_dim);
  CHECK(!rotary.cos.defined() || rotary.cos.size(0) > plan.max_position, kModel,
        "attention: expected positions below {}, found {}", rotary.cos.size(0), plan.max_position);
}

}  // namespace

Tensor rotary_attention(const Tensor& qkv, const std::shared_ptr<const ForestPlan>& plan,
                        const HeadShape& shape, const RotaryTable& rotary, double scale,
                        const Numerics& numerics) {
  check_problem(qkv, *plan, shape, rotary);
  if (takes_plain_way(qkv, numerics))
    return plain::forest_attention(qkv, *plan, shape, rotary, scale);
  const Tensor none = at::empty({0});  // custom functions take defined tensors only
  const at::IValue holder = at::IValue::make_capsule(c10::make_intrusive<PlanHolder>(plan));
  return PackedAttention::apply(
      qkv.contiguous(), holder,
      std::vector<int64_t>{shape.num_heads, shape.num_key_value_heads, shape.head_dim, shape.window,
                           shape.uses_bfloat16_math},
      rotary.cos.defined() ? rotary.cos : none, rotary.sin.defined() ? rotary.sin : none, scale);
}

Tensor rotary_attention_behind(const FrontKeys& front, const Tensor& qkv,
                               const std::shared_ptr<const ForestPlan>& plan,
                               const HeadShape& shape, const RotaryTable& rotary, double scale) {
  check_problem(qkv, *plan, shape, rotary);
  const Tensor none = at::empty({0}), packed = qkv.contiguous();
  Tensor out = at::empty({qkv.size(0), shape.num_heads * shape.head_dim}, qkv.options());
  Tensor logsumexp = at::empty({qkv.size(0), shape.num_heads}, qkv.options());
  AttentionProblem problem =
      problem_of(packed, *plan, shape, rotary.cos.defined() ? rotary.cos : none,
                 rotary.sin.defined() ? rotary.sin : none, scale);
  problem.front = &front;
  attention_forward(problem, rows_of(out, shape, 0), logsumexp.data_ptr<float>());
  return out;
}

Tensor forest_attention(const Tensor& query, const Tensor& key, const Tensor& value,
                        const TokenForest& forest, double scale, int64_t window,
                        const Numerics& numerics) {
  const HeadShape shape{query.size(1), key.size(1), query.size(2), window};
  const Tensor packed = at::cat({query, key, value}, 1).flatten(1);
  return rotary_attention(packed, plan_forest(forest), shape, {}, scale, numerics)
      .view({query.size(0), shape.num_heads, shape.head_dim});
}

}  // namespace etrlrec
