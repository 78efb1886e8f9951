// SPDX-License-Identifier: Apache-2.0
// Checks of the operands of one operation, for the front ends. A broken one is a ContractError that names the
// operation, the operand, what was expected and what came.
#pragma once

#include <initializer_list>
#include <string_view>

#include "core/base/check.h"
#include "core/device/stream.h"
#include "core/tensor/tensor.h"

namespace strata {

class Operands {
 public:
  Operands(std::string_view op, const Stream& stream) : op_(op), device_(stream.device().kind) {}

  // Present, on the stream's device, of this shape and one of these types, unit stride in the last dim.
  void rows(std::string_view name, const Tensor& x, const Shape& shape,
            std::initializer_list<DType> types) const {
    require(name, x, shape, types);
    check(x.rank() == 0 || x.dim(-1) <= 1 || x.stride(-1) == 1,
          "[{}] {}: expected unit stride in the last dim of {}, got {}", op_, name, x.shape(),
          x.rank() == 0 ? 1 : x.stride(-1));
  }
  // The same, without gaps between rows.
  void dense(std::string_view name, const Tensor& x, const Shape& shape,
             std::initializer_list<DType> types) const {
    require(name, x, shape, types);
    check(x.contiguous(), "[{}] {}: expected a contiguous tensor, got a strided {}", op_, name, x.shape());
  }
  // A largest magnitude that an operation raises; optional.
  void amax(const Tensor& x) const {
    if (x) dense("amax", x, {1}, {DType::f32});
  }
  void present(std::string_view name, const Tensor& x, int rank) const {
    check(static_cast<bool>(x), "[{}] {} is absent", op_, name);
    check(x.rank() == rank, "[{}] {}: expected rank {}, got {}", op_, name, rank, x.shape());
  }

 private:
  void require(std::string_view name, const Tensor& x, const Shape& shape,
               std::initializer_list<DType> types) const {
    check(static_cast<bool>(x), "[{}] {} is absent", op_, name);
    check(x.device().kind == device_, "[{}] {} is on {}, the stream on {}", op_, name, to_string(x.device()),
          to_string(Device{device_, 0}));
    check(x.shape() == shape, "[{}] {}: expected {}, got {}", op_, name, shape, x.shape());
    for (const DType type : types)
      if (x.dtype() == type) return;
    fail_contract(
        fmt::format("[{}] {}: expected {}, got {}", op_, name, name_of(types), strata::name(x.dtype())));
  }
  static std::string name_of(std::initializer_list<DType> types) {
    std::string text;
    for (const DType type : types) text += (text.empty() ? "" : " or ") + std::string(strata::name(type));
    return text;
  }

  std::string_view op_;
  DeviceKind device_;
};

inline constexpr std::initializer_list<DType> kFloats = {DType::f32, DType::bf16};

}  // namespace strata
