// SPDX-License-Identifier: Apache-2.0
#include "core/tensor/transfer.h"

namespace strata {
namespace {

bool reaches(const Stream& stream, const Tensor& tensor) {
  return tensor.device() == Device{} || tensor.device() == stream.device();
}

}  // namespace

void transfer(Stream& stream, const Tensor& from, const Tensor& to) {
  check(from.dtype() == to.dtype() && from.numel() == to.numel(), "[transfer] {} {} to {} {}",
        name(from.dtype()), from.shape(), name(to.dtype()), to.shape());
  check(from.contiguous() && to.contiguous(), "[transfer] of strided tensors {} and {}", from.shape(),
        to.shape());
  check(reaches(stream, from) && reaches(stream, to), "[transfer] from {} to {} by a stream of {}",
        to_string(from.device()), to_string(to.device()), to_string(stream.device()));
  stream.copy_bytes(from.raw(), to.raw(), from.bytes());
}

Tensor on_host(Stream& stream, const Tensor& tensor) {
  if (!tensor || tensor.device() == Device{}) {
    stream.synchronize();
    return tensor;
  }
  const Tensor copy = make_tensor(*make_cpu_allocator(), tensor.dtype(), tensor.shape(), "host copy");
  transfer(stream, tensor, copy);
  stream.synchronize();
  return copy;
}

}  // namespace strata
