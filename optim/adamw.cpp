// SPDX-License-Identifier: Apache-2.0
#include "optim/adamw.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/log.h"
#include "core/device/meta_stream.h"
#include "optim/cpu/adamw_cpu.h"
#include "optim/cuda/adamw_cuda.h"
#include "optim/state_fp32.h"
#include "optim/state_master.h"
#include "optim/state_split.h"
#include "optim/state_split8.h"
#include "optim/state_sr8.h"

namespace strata {
namespace {

void check_operand(const std::string& rule, std::string_view operand, const Tensor& x, DType dtype,
                   int64_t count) {
  check(static_cast<bool>(x), "[{}] {} is absent", rule, operand);
  check(x.dtype() == dtype, "[{}] {} is {}, expected {}", rule, operand, name(x.dtype()), name(dtype));
  check(x.contiguous(), "[{}] {} {} is strided, expected contiguous", rule, operand, x.shape());
  check(x.numel() == count, "[{}] {} has {} elements, expected {}", rule, operand, x.numel(), count);
}

template <typename State>
class Adamw final : public UpdateRule {
 public:
  explicit Adamw(const AdamwOptions& options) : options_(options), slots_(State::slots()) {}

  std::string name() const override { return "adamw/" + std::string(State::kName); }
  DType weight_dtype() const override { return State::kWeight; }
  std::span<const StateSlot> slots() const override { return slots_; }

  void initialize(Stream& stream, const Tensor& values, const Tensor& weight,
                  std::span<const Tensor> state) const override {
    check_state(weight, state);
    check_operand(name(), "values", values, DType::f32, weight.numel());
    if (runs_nothing(stream, 4 + kept_bytes(), weight)) return;
    if (on_cuda(stream))
      cuda::initialize_state(stream, State::bind(weight, state), values.data<float>(), weight.numel());
    else
      cpu::initialize_state(cpu_stream(stream), State::bind(weight, state), values.data<float>(),
                            weight.numel());
  }

  void export_values(Stream& stream, const Tensor& weight, std::span<const Tensor> state,
                     const Tensor& values) const override {
    check_state(weight, state);
    check_operand(name(), "values", values, DType::f32, weight.numel());
    if (runs_nothing(stream, 4 + 4, weight)) return;
    if (on_cuda(stream))
      cuda::export_state(stream, State::bind(weight, state), values.data<float>(), weight.numel());
    else
      cpu::export_state(cpu_stream(stream), State::bind(weight, state), values.data<float>(), weight.numel());
  }

  void update(Stream& stream, const UpdateSpan& span) const override {
    check_state(span.weight, span.state);
    check_operand(name(), "gradient", span.grad, DType::f32, span.weight.numel());
    check(span.scalars.first_index % static_cast<uint64_t>(block_of(slots_)) == 0,
          "[{}] a span begins at element {}, in the middle of a block of {}", name(),
          span.scalars.first_index, block_of(slots_));
    check(span.scalars.step >= 1, "[{}] step is {}, the first one is 1", name(), span.scalars.step);
    if (runs_nothing(stream, State::kUpdateBytes, span.weight)) return;
    const AdamwCoefficients coefficients = adamw_coefficients(options_, span.scalars);
    const State state = State::bind(span.weight, span.state);
    if (on_cuda(stream))
      cuda::adamw_update(stream, state, span.grad.data<float>(), span.weight.numel(), coefficients);
    else
      cpu::adamw_update(cpu_stream(stream), state, span.grad.data<float>(), span.weight.numel(),
                        coefficients);
  }

 private:
  void check_state(const Tensor& weight, std::span<const Tensor> state) const {
    check_operand(name(), "weight", weight, State::kWeight, weight.numel());
    check(state.size() == slots_.size(), "[{}] was given {} state slots, expected {}", name(), state.size(),
          slots_.size());
    for (size_t i = 0; i < slots_.size(); ++i)
      check_operand(name(), slots_[i].name, state[i], slots_[i].dtype, slots_[i].entries(weight.numel()));
  }

  int64_t kept_bytes() const {
    int64_t bytes = size_of(State::kWeight);
    for (const StateSlot& slot : slots_) bytes += slot.per == 1 ? size_of(slot.dtype) : 0;
    return bytes;
  }

  static bool on_cuda(const Stream& stream) { return stream.device().kind == DeviceKind::cuda; }

  // On the meta device: counts the memory traffic and has nothing else to do.
  static bool runs_nothing(Stream& stream, int64_t bytes_per_element, const Tensor& weight) {
    if (stream.device().kind != DeviceKind::meta) return false;
    meta_stream(stream).count.bytes += bytes_per_element * weight.numel();
    return true;
  }

  AdamwOptions options_;
  std::vector<StateSlot> slots_;
};

}  // namespace

void check_options(const AdamwOptions& options) {
  const auto check_beta = [](std::string key, double beta) {
    if (!(beta >= 0 && beta < 1))
      throw Error(Fault::usage, {.what = "a decay rate of AdamW is out of range",
                                 .where = "optimizer.betas",
                                 .found = fmt::format("{} = {}", key, beta),
                                 .expected = "at least 0 and below 1",
                                 .fix = "betas = [0.9, 0.95]"});
  };
  check_beta("beta1", options.beta1);
  check_beta("beta2", options.beta2);
  // Where a gradient has always been 0 the step is 0 / eps: an eps that is 0 in f32 would make it NaN.
  using Single = std::numeric_limits<float>;
  if (!(options.eps >= Single::min() && options.eps <= Single::max()))
    throw Error(Fault::usage,
                {.what = "eps of AdamW is out of range",
                 .where = "optimizer.eps",
                 .found = fmt::format("{}", options.eps),
                 .expected = "a number above 0 that single precision holds in full (1.2e-38 or more)",
                 .fix = "eps = 1e-8"});
}

AdamwCoefficients adamw_coefficients(const AdamwOptions& options, const UpdateScalars& scalars) {
  const double lr = scalars.learning_rate;
  const double t = static_cast<double>(scalars.step);
  const double bias1 = 1.0 - std::pow(options.beta1, t);
  const double bias2 = 1.0 - std::pow(options.beta2, t);
  return {.gradient_scale = scalars.gradient_scale,
          .beta1 = static_cast<float>(options.beta1),
          .one_minus_beta1 = static_cast<float>(1.0 - options.beta1),
          .beta2 = static_cast<float>(options.beta2),
          .one_minus_beta2 = static_cast<float>(1.0 - options.beta2),
          .step_size = static_cast<float>(lr / bias1),
          .inverse_root_bias2 = static_cast<float>(1.0 / std::sqrt(bias2)),
          .eps = static_cast<float>(options.eps),
          .decay = static_cast<float>(lr * scalars.weight_decay),
          .key = scalars.key,
          .first_index = scalars.first_index};
}

template <typename State>
std::unique_ptr<UpdateRule> make_adamw(const AdamwOptions& options) {
  check_options(options);
  auto rule = std::make_unique<Adamw<State>>(options);
  // bf16 keeps 8 bits: a change below 2^-9 to 2^-8 of a value (depending on its mantissa) rounds away. A
  // moment of decay rate beta falls by at most (1 - beta) of itself per step.
  constexpr double kSmallestFall = 1.0 / 256;
  if (rule->slots().back().dtype == DType::bf16 && 1 - std::max(options.beta1, options.beta2) < kSmallestFall)
    log::warn(
        "{}: with betas [{}, {}] a bf16 moment stops falling once gradients shrink; keep both at most 0.996, "
        "or use precision.state = \"fp32\"",
        rule->name(), options.beta1, options.beta2);
  return rule;
}

template std::unique_ptr<UpdateRule> make_adamw<Fp32State>(const AdamwOptions&);
template std::unique_ptr<UpdateRule> make_adamw<MasterState>(const AdamwOptions&);
template std::unique_ptr<UpdateRule> make_adamw<SplitState>(const AdamwOptions&);
template std::unique_ptr<UpdateRule> make_adamw<Split8State>(const AdamwOptions&);
template std::unique_ptr<UpdateRule> make_adamw<Sr8State>(const AdamwOptions&);

}  // namespace strata
