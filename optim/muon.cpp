// SPDX-License-Identifier: Apache-2.0
#include "optim/muon.h"

#include <vector>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/device/meta_stream.h"
#include "core/ops/matmul.h"
#include "optim/cpu/muon_cpu.h"
#include "optim/cuda/muon_cuda.h"
#include "optim/muon_math.h"
#include "optim/state_fp32.h"
#include "optim/state_master.h"

namespace strata {
namespace {

bool is_on_gpu(const Stream& stream) { return stream.device().kind == DeviceKind::cuda; }

template <typename State>
class Muon final : public UpdateRule {
 public:
  explicit Muon(const AdamwOptions& options)
      : adamw_(make_adamw<State>(options)), momentum_(options.momentum) {
    if (!(momentum_ >= 0 && momentum_ < 1))
      throw Error(Fault::usage, {.what = "the momentum of Muon is out of range",
                                 .where = "optimizer.momentum",
                                 .found = fmt::format("{}", momentum_),
                                 .expected = "at least 0 and below 1",
                                 .fix = "optimizer.momentum = 0.95"});
  }

  std::string name() const override { return "muon/" + std::string(State::kName); }
  DType weight_dtype() const override { return adamw_->weight_dtype(); }
  std::span<const StateSlot> slots() const override { return adamw_->slots(); }
  bool element_wise() const override { return false; }
  void initialize(Stream& stream, const Tensor& values, const Tensor& weight,
                  std::span<const Tensor> state) const override {
    adamw_->initialize(stream, values, weight, state);
  }
  void export_values(Stream& stream, const Tensor& weight, std::span<const Tensor> state,
                     const Tensor& values) const override {
    adamw_->export_values(stream, weight, state, values);
  }
  void update(Stream& stream, const UpdateSpan& span) const override {
    if (span.matrices.empty()) return adamw_->update(stream, span);
    for (const MatrixSpan& matrix : span.matrices) update_matrix(stream, span, matrix);
  }

 private:
  void update_matrix(Stream& stream, const UpdateSpan& span, const MatrixSpan& matrix) const;

  std::unique_ptr<UpdateRule> adamw_;
  double momentum_;
};

// X is the update, or its transpose where that is the wide one: then A = X X^T is the small product.
struct Work {
  Tensor x, y;     // [short, long]
  Tensor a, b;     // [short, short]
  Tensor squares;  // f64 as i64 [rows of the matrix + 1]: sums of their squares
};

Work take_work(Stream& stream, const MatrixSpan& matrix) {
  const int64_t less = std::min(matrix.rows, matrix.columns), more = std::max(matrix.rows, matrix.columns);
  const auto take = [&](DType dtype, Shape shape) {
    return Tensor::borrow(stream.scratch().take(shape.numel() * size_of(dtype)), dtype, shape,
                          stream.device());
  };
  return {.x = take(DType::f32, {less, more}),
          .y = take(DType::f32, {less, more}),
          .a = take(DType::f32, {less, less}),
          .b = take(DType::f32, {less, less}),
          .squares = take(DType::i64, {matrix.rows + 1})};
}

// out = left out + right in, element by element.
void blend(Stream& stream, float left, const Tensor& out, float right, const Tensor& in) {
  if (stream.device().kind == DeviceKind::meta) {
    meta_stream(stream).count.bytes += 3 * out.numel() * size_of(DType::f32);
    return;
  }
  const auto run = is_on_gpu(stream) ? cuda::muon_blend : cpu::muon_blend;
  run(stream, left, out.data<float>(), right, in.data<const float>(), out.numel());
}

// x, of Frobenius norm 1 at most, becomes nearly orthogonal; the result is in work.x or work.y.
Tensor newton_schulz(Stream& stream, Work work) {
  for (int step = 0; step < muon::kSteps; ++step) {
    matmul(stream, {.a = work.x, .b = work.x.t(), .out = work.a});
    matmul(stream, {.a = work.a, .b = work.a, .out = work.b});
    blend(stream, muon::kC, work.b, muon::kB, work.a);
    matmul(stream, {.a = work.b, .b = work.x, .out = work.y});
    blend(stream, 1, work.y, muon::kA, work.x);
    std::swap(work.x, work.y);
  }
  return work.x;
}

template <typename State>
void Muon<State>::update_matrix(Stream& stream, const UpdateSpan& span, const MatrixSpan& matrix) const {
  const Scratch::Scope scope(stream.scratch());
  const Work work = take_work(stream, matrix);
  if (stream.device().kind == DeviceKind::meta) {
    meta_stream(stream).count.bytes += (State::kUpdateBytes + 16) * matrix.elements();
    newton_schulz(stream, work);
    return;
  }
  const auto part = [&](const Tensor& all) { return all.slice(0, matrix.begin, matrix.elements()); };
  std::vector<Tensor> state;
  for (const Tensor& slot : span.state) state.push_back(part(slot));
  const MuonMatrix<State> m{.state = State::bind(part(span.weight), state),
                            .grad = part(span.grad).template data<const float>(),
                            .rows = matrix.rows,
                            .columns = matrix.columns,
                            .turned = matrix.rows > matrix.columns};
  const UpdateScalars& s = span.scalars;
  const auto lr = static_cast<double>(s.learning_rate);
  const MuonMomentum momentum{static_cast<float>(momentum_), static_cast<float>(1 - momentum_),
                              s.gradient_scale};
  const auto direction = is_on_gpu(stream) ? cuda::muon_direction<State> : cpu::muon_direction<State>;
  const auto step = is_on_gpu(stream) ? cuda::muon_step<State> : cpu::muon_step<State>;
  direction(stream, m, momentum, work.x.data<float>(),
            reinterpret_cast<double*>(work.squares.data<int64_t>()));
  const Tensor orthogonal = newton_schulz(stream, work);
  step(stream, m, orthogonal.data<const float>(),
       static_cast<float>(1 - lr * static_cast<double>(s.weight_decay)),
       static_cast<float>(lr * muon::step_scale(matrix.rows, matrix.columns)));
}

}  // namespace

template <typename State>
std::unique_ptr<UpdateRule> make_muon(const AdamwOptions& options) {
  return std::make_unique<Muon<State>>(options);
}

template std::unique_ptr<UpdateRule> make_muon<Fp32State>(const AdamwOptions&);
template std::unique_ptr<UpdateRule> make_muon<MasterState>(const AdamwOptions&);

}  // namespace strata
