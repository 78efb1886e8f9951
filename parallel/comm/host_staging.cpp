// SPDX-License-Identifier: Apache-2.0
#include "parallel/comm/host_staging.h"

#include <vector>

#include "core/device/cpu/cpu_stream.h"
#include "core/tensor/transfer.h"
#include "parallel/comm/decorator.h"

namespace strata {
namespace {

class HostStaged final : public CommunicatorDecorator {
 public:
  HostStaged(std::unique_ptr<Communicator> inner, std::shared_ptr<Allocator> host_memory)
      : CommunicatorDecorator(std::move(inner)),
        host_memory_(std::move(host_memory)),
        pool_(1),
        host_(pool_) {}

  void run(Stream& stream, const Collective& op, std::byte* scratch) override {
    if (stream.device() == host_.device()) return CommunicatorDecorator::run(stream, op, scratch);
    last_.wait();  // copies out of the staging memory
    used_ = 0;
    reserve(op);
    Collective staged = op;
    std::vector<Message> sends, receives;
    if (op.kind == CollectiveKind::exchange) {
      for (const Message& m : op.sends) sends.push_back({m.peer, downloaded(stream, m.tensor)});
      for (const Message& m : op.receives) receives.push_back({m.peer, place_of(m.tensor)});
      staged.sends = sends;
      staged.receives = receives;
    } else {
      staged.from = downloaded(stream, op.from);
      staged.to =
          op.to.raw() == op.from.raw() && op.to.bytes() == op.from.bytes() ? staged.from : place_of(op.to);
    }
    stream.synchronize();
    inner().enqueue(host_, staged);
    host_.synchronize();
    if (op.kind == CollectiveKind::exchange)
      for (size_t i = 0; i < receives.size(); ++i)
        uploaded(stream, receives[i].tensor, op.receives[i].tensor);
    else
      uploaded(stream, staged.to, op.to);
    last_ = stream.record();
  }

  // Nothing on the device.
  int64_t scratch_bytes(const Collective& op, DeviceKind device) const override {
    return device == DeviceKind::cpu ? CommunicatorDecorator::scratch_bytes(op, device) : 0;
  }

 private:
  bool on_host(const Tensor& tensor) const { return tensor.device() == host_.device(); }
  int64_t need(const Tensor& tensor) const {
    return on_host(tensor) ? 0 : round_up(tensor.bytes(), kTensorAlignment);
  }

  void reserve(const Collective& op) {
    int64_t bytes = 0;
    if (op.kind == CollectiveKind::exchange)
      for (const auto& messages : {op.sends, op.receives})
        for (const Message& message : messages) bytes += need(message.tensor);
    else
      bytes = need(op.from) + need(op.to);
    if (staging_ && staging_->bytes() >= bytes) return;
    staging_.reset();
    staging_ = host_memory_->allocate(bytes, "communication through the host");
  }

  // Where the host has, or gets, the tensor's elements.
  Tensor place_of(const Tensor& tensor) {
    if (on_host(tensor)) return tensor;
    const Tensor place = Tensor(staging_, used_, tensor.dtype(), tensor.shape());
    used_ += need(tensor);
    return place;
  }
  Tensor downloaded(Stream& stream, const Tensor& tensor) {
    const Tensor place = place_of(tensor);
    if (!on_host(tensor)) transfer(stream, tensor, place);
    return place;
  }
  void uploaded(Stream& stream, const Tensor& place, const Tensor& tensor) {
    if (!on_host(tensor)) transfer(stream, place, tensor);
  }

  std::shared_ptr<Allocator> host_memory_;
  WorkerPool pool_;
  CpuStream host_;
  BufferRef staging_;
  int64_t used_ = 0;
  Event last_;
};

}  // namespace

std::unique_ptr<World> stage_on_host(World& world, std::shared_ptr<Allocator> host_memory) {
  return decorate(world, [host_memory = std::move(host_memory)](World&, std::unique_ptr<Communicator> inner) {
    return std::make_unique<HostStaged>(std::move(inner), host_memory);
  });
}

}  // namespace strata
