// SPDX-License-Identifier: Apache-2.0
// Checks the operands of matrix products, for every device, and hands them to the device's table.
#include "core/ops/matmul.h"

#include "core/device/meta_stream.h"
#include "core/ops/op_table.h"

namespace strata {
namespace {

const OpTable& table_of(Stream& stream) { return op_table(stream.device().kind); }

// Packed layouts belong to the device that multiplies: of the meta stream, to the one it stands for.
DeviceKind packing_device(Stream& stream) {
  const DeviceKind kind = stream.device().kind;
  return kind == DeviceKind::meta ? meta_stream(stream).target().kind : kind;
}

void check_device(const char* op, const char* what, const Tensor& x, const Stream& stream) {
  check(x.device() == stream.device(), "[{}] {} is on {}, the stream on {}", op, what, to_string(x.device()),
        to_string(stream.device()));
}

// A matrix that a product can read: float or bf16, unit stride in one dim.
void check_factor(const char* op, const char* what, const Tensor& x, const Stream& stream) {
  check(x.rank() == 2, "[{}] {} must be a matrix, got {}", op, what, x.shape());
  check(x.dtype() == DType::f32 || x.dtype() == DType::bf16, "[{}] {} must be f32 or bf16, got {}", op, what,
        name(x.dtype()));
  check(x.stride(0) == 1 || x.stride(1) == 1 || x.dim(0) <= 1 || x.dim(1) <= 1,
        "[{}] {} {} has no dim of unit stride: strides are {} and {}", op, what, x.shape(), x.stride(0),
        x.stride(1));
  check_device(op, what, x, stream);
}

void check_packed(const char* op, Stream& stream, const PackedMatrix& packed) {
  const Tensor& bytes = packed.bytes;
  check(packed.dtype == DType::f32 || packed.dtype == DType::bf16,
        "[{}] packed b must be f32 or bf16, got {}", op, name(packed.dtype));
  check(bytes.dtype() == DType::u8 && bytes.contiguous(), "[{}] packed b must be contiguous u8, got {} {}",
        op, name(bytes.dtype()), bytes.shape());
  const int64_t wanted = packed_bytes(stream, packed.dtype, packed.k, packed.n);
  check(bytes.numel() == wanted, "[{}] packed b [{}, {}] {} takes {} bytes, got {}", op, packed.k, packed.n,
        name(packed.dtype), wanted, bytes.numel());
  check_device(op, "packed b", bytes, stream);
}

// What is packed, and where to.
void check_packing(const char* op, Stream& stream, const Tensor& b, const PackedMatrix& packed) {
  check(b && packed, "[{}] b and the packed matrix must be present", op);
  check_factor(op, "b", b, stream);
  check(b.dim(0) == packed.k && b.dim(1) == packed.n && b.dtype() == packed.dtype,
        "[{}] b is {} {}, the packed matrix [{}, {}] {}", op, b.shape(), name(b.dtype()), packed.k, packed.n,
        name(packed.dtype));
  check_packed(op, stream, packed);
}

// A matrix laid out like the output.
void check_result(const char* what, const Tensor& x, int64_t m, int64_t n, const Stream& stream) {
  check(x.shape() == Shape{m, n}, "[matmul] {} is {}, the product is [{}, {}]", what, x.shape(), m, n);
  check(x.stride(1) == 1 || n <= 1, "[matmul] {} {} must have unit stride in dim 1, has {}", what, x.shape(),
        x.stride(1));
  check_device("matmul", what, x, stream);
}

}  // namespace

int64_t packed_bytes(Stream& stream, DType dtype, int64_t k, int64_t n) {
  check(k >= 0 && n >= 0, "[packed_bytes] of a [{}, {}] matrix", k, n);
  return op_table(packing_device(stream)).packed_bytes(stream, dtype, k, n);
}

void pack(Stream& stream, const Tensor& b, const PackedMatrix& packed) {
  check_packing("pack", stream, b, packed);
  table_of(stream).pack(stream, b, packed);
}

void pack_both(Stream& stream, const Tensor& weight, const PackedMatrix& transposed,
               const PackedMatrix& plain) {
  check_packing("pack_both", stream, weight, plain);
  check_packing("pack_both", stream, weight.t(), transposed);
  table_of(stream).pack_both(stream, weight, transposed, plain);
}

void matmul(Stream& stream, const Matmul& args) {
  const Tensor &a = args.a, &b = args.b, &out = args.out;
  const PackedMatrix& packed = args.packed_b;
  check(a && out, "[matmul] a and out must be present");
  check(static_cast<bool>(b) != static_cast<bool>(packed), "[matmul] give either b or packed_b");
  check_factor("matmul", "a", a, stream);
  const int64_t m = a.dim(0), k = a.dim(1);
  if (b) {
    check_factor("matmul", "b", b, stream);
    check(b.dim(0) == k, "[matmul] inner dims differ: a is {}, b is {}", a.shape(), b.shape());
  } else {
    check_packed("matmul", stream, packed);
    check(packed.k == k, "[matmul] inner dims differ: a is {}, packed b is [{}, {}]", a.shape(), packed.k,
          packed.n);
  }
  const DType b_type = b ? b.dtype() : packed.dtype;
  check(a.dtype() == b_type, "[matmul] a is {}, b is {}", name(a.dtype()), name(b_type));

  const int64_t n = b ? b.dim(1) : packed.n;
  check_result("out", out, m, n, stream);
  check(out.dtype() == DType::f32 || out.dtype() == a.dtype(),
        "[matmul] out must be f32 or {} like a, got {}", name(a.dtype()), name(out.dtype()));
  check(args.write == Write::overwrite || out.dtype() == DType::f32,
        "[matmul] only an f32 out accumulates, got {}", name(out.dtype()));
  if (args.bias) {
    const Tensor& bias = args.bias;
    check(bias.shape() == Shape{n} && bias.contiguous(), "[matmul] bias must be contiguous [{}], got {}", n,
          bias.shape());
    check(bias.dtype() == DType::f32 || bias.dtype() == a.dtype(),
          "[matmul] bias must be f32 or {} like a, got {}", name(a.dtype()), name(bias.dtype()));
    check_device("matmul", "bias", bias, stream);
  }
  if (args.add) {
    check_result("add", args.add, m, n, stream);
    check(args.add.dtype() == out.dtype(), "[matmul] add must be {} like out, got {}", name(out.dtype()),
          name(args.add.dtype()));
  }
  table_of(stream).matmul(stream, args);
}

}  // namespace strata
