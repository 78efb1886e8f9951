// SPDX-License-Identifier: Apache-2.0
#include "core/ops/cpu/kernels/pointwise_kernels.h"

#include "core/ops/cpu/vec_math.h"

namespace strata::cpu::STRATA_ISA_NAMESPACE {
namespace {

void swiglu_forward(const SwigluRows& args, Range rows) {
  with_type(args.gate_up.dtype, [&]<typename T>(Type<T>) {
    for (int64_t r = rows.begin; r < rows.end; ++r) {
      const T* gate = args.gate_up.row<T>(r);
      const T* up = gate + args.width;
      T* y = args.out.row<T>(r);
      for_lanes(args.width, [&](int64_t i, auto lanes) {
        const Vec g = load(gate + i, lanes);
        store(y + i, g * sigmoid(g) * load(up + i, lanes), lanes);
      });
    }
  });
}

// y = g s(g) u: dg = dy u s (1 + g (1 - s)), du = dy g s.
void swiglu_backward(const SwigluRows& args, Range rows) {
  with_type(args.gate_up.dtype, [&]<typename T>(Type<T>) {
    const Vec one = broadcast(1.0f);
    for (int64_t r = rows.begin; r < rows.end; ++r) {
      const T* gate = args.gate_up.row<T>(r);
      const T* up = gate + args.width;
      const T* dy = args.dy.row<T>(r);
      T* dgate = args.out.row<T>(r);
      T* dup = dgate + args.width;
      for_lanes(args.width, [&](int64_t i, auto lanes) {
        const Vec g = load(gate + i, lanes), u = load(up + i, lanes), d = load(dy + i, lanes);
        const Vec s = sigmoid(g);
        store(dgate + i, d * u * s * (one + g * (one - s)), lanes);
        store(dup + i, d * g * s, lanes);
      });
    }
  });
}

// x / 2 (1 + tanh(u)) is x s(2u), which has no cancellation for negative x.
struct Gelu {
  Vec s;      // s(2u)
  Vec slope;  // d(2u)/dx
};
STRATA_ALWAYS_INLINE Gelu gelu(const Vec& x) {
  const Vec c = broadcast(1.5957691216057308f);  // 2 sqrt(2 / pi)
  const Vec cubic = broadcast(0.044715f) * x * x;
  return {sigmoid(c * x * (broadcast(1.0f) + cubic)), c * (broadcast(1.0f) + broadcast(3.0f) * cubic)};
}

void gelu_forward(const GeluRows& args, Range rows) {
  with_type(args.x.dtype, [&]<typename T>(Type<T>) {
    for (int64_t r = rows.begin; r < rows.end; ++r) {
      const T* x = args.x.row<T>(r);
      T* y = args.out.row<T>(r);
      for_lanes(args.width, [&](int64_t i, auto lanes) {
        const Vec v = load(x + i, lanes);
        store(y + i, v * gelu(v).s, lanes);
      });
    }
  });
}

void gelu_backward(const GeluRows& args, Range rows) {
  with_type(args.x.dtype, [&]<typename T>(Type<T>) {
    const Vec one = broadcast(1.0f);
    for (int64_t r = rows.begin; r < rows.end; ++r) {
      const T* x = args.x.row<T>(r);
      const T* dy = args.dy.row<T>(r);
      T* dx = args.out.row<T>(r);
      for_lanes(args.width, [&](int64_t i, auto lanes) {
        const Vec v = load(x + i, lanes);
        const Gelu g = gelu(v);
        store(dx + i, load(dy + i, lanes) * (g.s + v * g.slope * g.s * (one - g.s)), lanes);
      });
    }
  });
}

void rope(const RopeRows& args, Range rows) {
  with_type(args.x.dtype, [&]<typename T>(Type<T>) {
    const Vec direction = broadcast(args.direction);
    for (int64_t r = rows.begin; r < rows.end; ++r) {
      const float* cos = args.cos + args.positions[r] * args.half;
      const float* sin = args.sin + args.positions[r] * args.half;
      for (int64_t h = 0; h < args.heads; ++h) {
        T* first = args.x.row<T>(r) + h * 2 * args.half;
        T* second = first + args.half;
        for_lanes(args.half, [&](int64_t i, auto lanes) {
          const Vec a = load(first + i, lanes), b = load(second + i, lanes);
          const Vec c = load(cos + i, lanes), s = load(sin + i, lanes) * direction;
          store(first + i, a * c - b * s, lanes);
          store(second + i, b * c + a * s, lanes);
        });
      }
    }
  });
}

void copy(MatrixRef from, MatrixRef to, int64_t count) {
  with_type(from.dtype, [&]<typename From>(Type<From>) {
    with_type(to.dtype, [&]<typename To>(Type<To>) {
      const From* source = from.row<From>(0);
      To* target = to.row<To>(0);
      for_lanes(count, [&](int64_t i, auto lanes) { store(target + i, load(source + i, lanes), lanes); });
    });
  });
}

void fill(MatrixRef x, float value, int64_t count) {
  with_type(x.dtype, [&]<typename T>(Type<T>) {
    const Vec v = broadcast(value);
    for_lanes(count, [&](int64_t i, auto lanes) { store(x.row<T>(0) + i, v, lanes); });
  });
}

void add(MatrixRef a, MatrixRef b, MatrixRef out, int64_t count) {
  with_type(a.dtype, [&]<typename T>(Type<T>) {
    for_lanes(count, [&](int64_t i, auto lanes) {
      store(out.row<T>(0) + i, load(a.row<T>(0) + i, lanes) + load(b.row<T>(0) + i, lanes), lanes);
    });
  });
}

void scale(float* x, float factor, int64_t count) {
  const Vec f = broadcast(factor);
  for_lanes(count, [&](int64_t i, auto lanes) { store(x + i, load(x + i, lanes) * f, lanes); });
}

uint32_t magnitude(MatrixRef x, Range rows, int64_t width) {
  uint32_t most = 0;
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    if (x.dtype == DType::bf16) {
      const bf16* __restrict row = x.row<bf16>(r);
      uint16_t of_row = 0;
      for (int64_t c = 0; c < width; ++c) {
        const auto bits = static_cast<uint16_t>(row[c].bits & 0x7FFFu);
        of_row = bits > of_row ? bits : of_row;
      }
      most = uint32_t{of_row} << 16 > most ? uint32_t{of_row} << 16 : most;
    } else {
      const float* __restrict row = x.row<float>(r);
      for (int64_t c = 0; c < width; ++c) {
        const uint32_t bits = __builtin_bit_cast(uint32_t, row[c]) & 0x7FFFFFFFu;
        most = bits > most ? bits : most;
      }
    }
  }
  return most;
}

// Box and Muller 1958: sqrt(-2 ln u1) (cos, sin)(2 pi u2), u = (24 high bits + 1/2) / 2^24.
void normal32(const uint32_t* bits, float std, float* z) {
  alignas(64) float u1[kLanes], u2[kLanes], even[kLanes], odd[kLanes];
  for (int i = 0; i < kLanes; ++i) {
    u1[i] = (static_cast<float>(bits[2 * i] >> 8) + 0.5f) * (1.0f / 16777216.0f);
    u2[i] = (static_cast<float>(bits[2 * i + 1] >> 8) + 0.5f) * (1.0f / 16777216.0f);
  }
  const Vec radius = sqrt(broadcast(-2.0f) * log(load(u1))) * broadcast(std);
  const Circle turn = circle(load(u2));
  store(even, radius * turn.cos);
  store(odd, radius * turn.sin);
  for (int i = 0; i < kLanes; ++i) {
    z[2 * i] = even[i];
    z[2 * i + 1] = odd[i];
  }
}

}  // namespace

const PointwiseKernels pointwise_kernels{.swiglu_forward = swiglu_forward,
                                         .swiglu_backward = swiglu_backward,
                                         .gelu_forward = gelu_forward,
                                         .gelu_backward = gelu_backward,
                                         .rope = rope,
                                         .copy = copy,
                                         .fill = fill,
                                         .add = add,
                                         .scale = scale,
                                         .magnitude = magnitude,
                                         .normal32 = normal32};

}  // namespace strata::cpu::STRATA_ISA_NAMESPACE
