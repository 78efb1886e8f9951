// SPDX-License-Identifier: Apache-2.0
// What memory bounds: norms, SwiGLU, cross-entropy, optimizer updates, stochastic rounding. The bytes are
// those that the same calls count on the meta device, so that the figures and the plans speak of the same.
#include <fmt/format.h>

#include <utility>

#include "core/device/meta_stream.h"
#include "core/ops/activation.h"
#include "core/ops/loss.h"
#include "core/ops/norm.h"
#include "optim/optimizer_table.h"
#include "tests/gpu/gpu_bench.h"

namespace strata {
namespace {

// An operand of the device or of the meta device.
using Make = std::function<Tensor(DType, Shape)>;
using Work = std::function<void(Stream&)>;

class Table {
 public:
  Table(Bench& bench, double copy_bytes_per_s) : bench_(bench), copy_(copy_bytes_per_s) {}

  // `prepare` makes operands and gives what works on them.
  void add(const std::string& what, const std::function<Work(const Make&)>& prepare) {
    const Work work = prepare([this](DType dtype, Shape shape) { return operand(dtype, shape); });
    const double seconds = bench_.seconds([&] { work(bench_.stream); });
    MetaStream meta({DeviceKind::cuda, 0});
    const auto planned = make_meta_allocator();
    prepare([&](DType dtype, Shape shape) { return make_tensor(*planned, dtype, shape, "bench"); })(meta);
    const double rate = static_cast<double>(meta.count.bytes) / seconds;
    rows.push_back(fmt::format(R"({{"what":"{}","bytes":{},"ms":{:.4f},"gb_per_s":{:.0f},"of_copy":{:.3f}}})",
                               what, meta.count.bytes, seconds * 1e3, rate / 1e9, rate / copy_));
  }

  std::vector<std::string> rows;

 private:
  Tensor operand(DType dtype, Shape shape) {
    if (dtype == DType::bf16) return bench_.normal(shape);
    const Tensor x = make_tensor(*bench_.device.memory(), dtype, shape, "bench");
    if (dtype == DType::f32) fill_normal(bench_.stream, x, {.seed = 2}, 0, 1);
    bench_.stream.synchronize();
    return x;  // ids are 0
  }

  Bench& bench_;
  double copy_;
};

void add_update(Table& table, const OptimizerRow& row, int64_t count) {
  const std::shared_ptr<UpdateRule> rule = row.make({});
  table.add(fmt::format("{} {} {}", row.type, row.state, name(row.compute)), [&](const Make& make) -> Work {
    const Tensor weight = make(rule->weight_dtype(), {count}), grad = make(DType::f32, {count});
    std::vector<Tensor> state;
    for (const StateSlot& slot : rule->slots()) state.push_back(make(slot.dtype, {slot.entries(count)}));
    bool first = true;
    return [=](Stream& stream) mutable {
      // From state that the rule makes: ordinary numbers.
      if (std::exchange(first, false) && stream.device().kind == DeviceKind::cuda)
        rule->initialize(stream, grad, weight, state);
      rule->update(stream,
                   {.weight = weight, .grad = grad, .state = state, .scalars = {.learning_rate = 1e-4f}});
    };
  });
}

}  // namespace

std::vector<std::string> bandwidth_rates(Bench& bench, bool tiny, double copy_bytes_per_s) {
  Table table(bench, copy_bytes_per_s);
  const int64_t rows = tiny ? 4 : 8192, width = tiny ? 64 : 4096, vocab = tiny ? 128 : 131072 / 4;
  table.add("rms norm forward", [&](const Make& make) -> Work {
    const RmsNormForward args{.x = make(DType::bf16, {rows, width}),
                              .weight = make(DType::bf16, {width}),
                              .y = make(DType::bf16, {rows, width}),
                              .rstd = make(DType::f32, {rows})};
    return [args](Stream& stream) { rms_norm_forward(stream, args); };
  });
  table.add("rms norm backward and residual", [&](const Make& make) -> Work {
    const RmsNormBackward args{.x = make(DType::bf16, {rows, width}),
                               .weight = make(DType::bf16, {width}),
                               .rstd = make(DType::f32, {rows}),
                               .dy = make(DType::bf16, {rows, width}),
                               .dx = make(DType::bf16, {rows, width}),
                               .add = make(DType::bf16, {rows, width}),
                               .dweight = make(DType::f32, {width})};
    return [args](Stream& stream) { rms_norm_backward(stream, args); };
  });
  table.add("swiglu forward", [&](const Make& make) -> Work {
    const SwigluForward args{.gate_up = make(DType::bf16, {rows, 4 * width}),
                             .y = make(DType::bf16, {rows, 2 * width})};
    return [args](Stream& stream) { swiglu_forward(stream, args); };
  });
  table.add("swiglu backward", [&](const Make& make) -> Work {
    const SwigluBackward args{.gate_up = make(DType::bf16, {rows, 4 * width}),
                              .dy = make(DType::bf16, {rows, 2 * width}),
                              .dgate_up = make(DType::bf16, {rows, 4 * width})};
    return [args](Stream& stream) { swiglu_backward(stream, args); };
  });
  table.add("softmax and cross-entropy", [&](const Make& make) -> Work {
    const Tensor logits = make(DType::bf16, {rows, vocab}), targets = make(DType::i32, {rows});
    const Tensor max = make(DType::f32, {rows}), sum = make(DType::f32, {rows}),
                 logit = make(DType::f32, {rows});
    const CrossEntropy loss{.logits = logits,
                            .targets = targets,
                            .vocab = vocab,
                            .max = max,
                            .sum = sum,
                            .target_logit = logit,
                            .nll = make(DType::f32, {rows})};
    return [=](Stream& stream) {
      softmax_stats(stream, {.logits = logits,
                             .targets = targets,
                             .vocab = vocab,
                             .max = max,
                             .sum = sum,
                             .target_logit = logit});
      cross_entropy(stream, loss);
    };
  });
  table.add("stochastic rounding", [&](const Make& make) -> Work {
    const Tensor from = make(DType::f32, {rows * width}), to = make(DType::bf16, {rows * width});
    return [=](Stream& stream) { stochastic_round(stream, from, to, {.seed = 1, .step = 1}, 0); };
  });
  for (const OptimizerRow& row : optimizer_table()) add_update(table, row, tiny ? 5000 : int64_t{1} << 27);
  return std::move(table.rows);
}

}  // namespace strata
