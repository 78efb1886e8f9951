// SPDX-License-Identifier: Apache-2.0
// Packing operands of a matrix product into panels (layout: matmul_kernels.h). Bound by memory: both fast
// paths read whole cache lines and use each once.
#pragma once

#include "core/ops/cpu/kernels/matmul_kernels.h"

namespace strata::cpu::STRATA_ISA_NAMESPACE {
namespace {

// How a unit is read: Element is the type in memory.
struct FloatUnit {
  using Element = float;
  static constexpr int kPerUnit = 1;
  static constexpr bool kBitsAsTheyAre = true;  // units stand in memory where k has unit stride
  STRATA_ALWAYS_INLINE static uint32_t make(float x) { return std::bit_cast<uint32_t>(x); }
};
struct WidenedUnit {
  using Element = bf16;
  static constexpr int kPerUnit = 1;
  static constexpr bool kBitsAsTheyAre = false;
  STRATA_ALWAYS_INLINE static uint32_t make(bf16 x) { return uint32_t{x.bits} << 16; }
};
struct PairUnit {
  using Element = bf16;
  static constexpr int kPerUnit = 2;
  static constexpr bool kBitsAsTheyAre = true;
  STRATA_ALWAYS_INLINE static uint32_t make(bf16 low, bf16 high) {
    return low.bits | uint32_t{high.bits} << 16;
  }
};

// Any strides, any extents: the edges, and matrices of one row or column. Units [first, last), lanes from
// `lane` on.
template <typename Unit>
void pack_edge(const PackPanels& p, const typename Unit::Element* source, int lanes, int64_t panel,
               int64_t first, int64_t last, int first_lane) {
  const int64_t units = (p.k + Unit::kPerUnit - 1) / Unit::kPerUnit;
  for (int64_t u = first; u < last; ++u) {
    uint32_t* out = p.units + (panel * units + u) * lanes;
    for (int lane = first_lane; lane < lanes; ++lane) {
      const int64_t x = panel * lanes + lane;
      const auto* at = source + u * Unit::kPerUnit * p.k_stride + x * p.lane_stride;
      if (x >= p.lanes)
        out[lane] = 0;
      else if constexpr (Unit::kPerUnit == 2)
        out[lane] = Unit::make(at[0], 2 * u + 1 < p.k ? at[p.k_stride] : bf16{0});
      else
        out[lane] = Unit::make(at[0]);
    }
  }
}

// Moves whole registers past the caches. Nothing is promised about the order other threads see them in until
// pack_panels() returns.
template <typename Registers, int lanes>
STRATA_ALWAYS_INLINE void stream_out(uint32_t* out, const uint32_t* staged, int64_t units) {
  constexpr int64_t kStep = sizeof(typename Registers::Float) / sizeof(*out);
  if constexpr (lanes % kStep == 0)  // all but panels of a, which are never streamed
    for (int64_t i = 0; i < units * lanes; i += kStep) Registers::stream(out + i, staged + i);
}

// `group` whole panels from memory with unit stride across the lanes: rows are interleaved, nothing is
// transposed.
template <typename Registers, typename Unit, int lanes, int group>
void pack_across(const PackPanels& p, const typename Unit::Element* source, int64_t panel) {
  const int64_t units = (p.k + Unit::kPerUnit - 1) / Unit::kPerUnit;
  const int64_t whole = p.k / Unit::kPerUnit < p.last_unit ? p.k / Unit::kPerUnit : p.last_unit;
  const auto* in = source + p.first_unit * Unit::kPerUnit * p.k_stride + panel * lanes;
  constexpr int64_t kAhead = 16;  // rows: their addresses are too far apart for the hardware to guess
  for (int64_t u = p.first_unit; u < whole; ++u, in += Unit::kPerUnit * p.k_stride) {
    const int64_t ahead = (u + kAhead) * Unit::kPerUnit < p.k ? kAhead * Unit::kPerUnit : 0;
    for (int row = 0; row < Unit::kPerUnit; ++row)
      for (unsigned byte = 0; byte < group * lanes * sizeof(*in); byte += 64)
        __builtin_prefetch(reinterpret_cast<const char*>(in + (ahead + row) * p.k_stride) + byte);
#pragma GCC unroll 8
    for (int g = 0; g < group; ++g) {
      uint32_t* __restrict out = p.units + ((panel + g) * units + u) * lanes;
      alignas(64) uint32_t staged[lanes];
      for (int lane = 0; lane < lanes; ++lane) {
        if constexpr (Unit::kPerUnit == 2)
          staged[lane] = Unit::make(in[g * lanes + lane], in[g * lanes + lane + p.k_stride]);
        else
          staged[lane] = Unit::make(in[g * lanes + lane]);
      }
      if (p.stream)
        stream_out<Registers, lanes>(out, staged, 1);
      else
        __builtin_memcpy(out, staged, sizeof staged);
    }
  }
  for (int g = 0; g < group; ++g) pack_edge<Unit>(p, source, lanes, panel + g, whole, p.last_unit, 0);
}

typedef uint32_t Four __attribute__((vector_size(16)));

// Four consecutive units from memory with unit stride along k.
template <typename Unit>
STRATA_ALWAYS_INLINE Four load_four(const typename Unit::Element* x) {
  if constexpr (Unit::kBitsAsTheyAre) {
    Four units;
    __builtin_memcpy(&units, x, sizeof units);
    return units;
  } else {
    return Four{Unit::make(x[0]), Unit::make(x[1]), Unit::make(x[2]), Unit::make(x[3])};
  }
}

// One whole panel from memory with unit stride along k: a transposition of units, four by four.
template <typename Registers, typename Unit, int lanes>
void pack_along(const PackPanels& p, const typename Unit::Element* source, int64_t panel) {
  constexpr int kFours = lanes / 4 * 4;
  const int64_t units = (p.k + Unit::kPerUnit - 1) / Unit::kPerUnit;
  const int64_t most = p.k / Unit::kPerUnit < p.last_unit ? p.k / Unit::kPerUnit : p.last_unit;
  const int64_t whole = p.first_unit + (most > p.first_unit ? (most - p.first_unit) / 4 * 4 : 0);
  constexpr int64_t kRun = 32;  // units read from a row before the next one: one or two cache lines
  alignas(64) uint32_t staged[kRun * lanes];
  for (int64_t run = p.first_unit; run < whole; run += kRun) {
    const int64_t end = run + kRun < whole ? run + kRun : whole;
    uint32_t* const final_place = p.units + (panel * units + run) * lanes;
    uint32_t* const place = p.stream ? staged : final_place;
    for (int lane = 0; lane < kFours; lane += 4) {
      const auto* row = source + (panel * lanes + lane) * p.lane_stride;
      for (int64_t u = run; u < end; u += 4) {
        const auto load = [&](int i) __attribute__((always_inline)) {
          return load_four<Unit>(row + i * p.lane_stride + u * Unit::kPerUnit);
        };
        const Four r0 = load(0), r1 = load(1), r2 = load(2), r3 = load(3);
        const Four a = __builtin_shuffle(r0, r1, Four{0, 4, 1, 5}),
                   b = __builtin_shuffle(r2, r3, Four{0, 4, 1, 5});
        const Four c = __builtin_shuffle(r0, r1, Four{2, 6, 3, 7}),
                   d = __builtin_shuffle(r2, r3, Four{2, 6, 3, 7});
        uint32_t* out = place + (u - run) * lanes + lane;
        const auto store = [&](int i, Four x) __attribute__((always_inline)) {
          __builtin_memcpy(out + i * lanes, &x, sizeof x);
        };
        store(0, __builtin_shuffle(a, b, Four{0, 1, 4, 5}));
        store(1, __builtin_shuffle(a, b, Four{2, 3, 6, 7}));
        store(2, __builtin_shuffle(c, d, Four{0, 1, 4, 5}));
        store(3, __builtin_shuffle(c, d, Four{2, 3, 6, 7}));
      }
    }
    if (p.stream) stream_out<Registers, lanes>(final_place, staged, end - run);
  }
  pack_edge<Unit>(p, source, lanes, panel, p.first_unit, whole, kFours);
  pack_edge<Unit>(p, source, lanes, panel, whole, p.last_unit, 0);
}

template <typename Registers, typename Unit, int lanes>
void pack_panels(const PackPanels& p) {
  // Narrow panels are packed several at a time, to use up two cache lines of the source.
  constexpr int kGroup =
      lanes * sizeof(typename Unit::Element) >= 64 ? 1 : 128 / (lanes * sizeof(typename Unit::Element));
  const auto* source = static_cast<const typename Unit::Element*>(p.source);
  for (int64_t panel = p.first_panel; panel < p.last_panel; ++panel) {
    const int64_t whole = p.lanes / lanes - panel;  // whole panels from here on
    if (whole >= kGroup && panel + kGroup <= p.last_panel && p.lane_stride == 1) {
      pack_across<Registers, Unit, lanes, kGroup>(p, source, panel);
      panel += kGroup - 1;
    } else if (whole >= 1 && p.lane_stride == 1) {
      pack_across<Registers, Unit, lanes, 1>(p, source, panel);
    } else if (whole >= 1 && p.k_stride == 1) {
      pack_along<Registers, Unit, lanes>(p, source, panel);
    } else {
      pack_edge<Unit>(p, source, lanes, panel, p.first_unit, p.last_unit, 0);
    }
  }
  if (p.stream) __builtin_ia32_sfence();
}

}  // namespace
}  // namespace strata::cpu::STRATA_ISA_NAMESPACE
