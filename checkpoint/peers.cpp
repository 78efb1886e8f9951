// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/peers.h"

#include "core/base/check.h"
#include "core/base/worker_pool.h"
#include "core/device/cpu/cpu_stream.h"

namespace strata {
namespace {

class SoloPeers : public Peers {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  std::vector<int64_t> all(int64_t own) override { return {own}; }
  std::vector<std::string> gather(std::string_view own) override { return {std::string(own)}; }
  std::string broadcast(std::string_view own) override { return std::string(own); }
  void exchange(std::span<const Parcel> sends, std::span<const Parcel> receives) override {
    check(sends.empty() && receives.empty(), "[peers] one rank has nobody to exchange with");
  }
};

Tensor bytes_of(std::string_view text) {
  return Tensor::borrow(const_cast<char*>(text.data()), DType::u8, {static_cast<int64_t>(text.size())});
}

class GroupPeers : public Peers {
 public:
  explicit GroupPeers(Communicator& group) : group_(group), pool_(1), stream_(pool_) {}

  int rank() const override { return group_.rank(); }
  int size() const override { return group_.size(); }

  std::vector<int64_t> all(int64_t own) override {
    std::vector<int64_t> values(static_cast<size_t>(size()));
    values[static_cast<size_t>(rank())] = own;
    const Tensor whole = Tensor::borrow(values.data(), DType::i64, {size()});
    group_.all_gather(stream_, whole.slice(0, rank(), 1), whole);
    stream_.synchronize();
    return values;
  }

  std::vector<std::string> gather(std::string_view own) override {
    const std::vector<int64_t> sizes = all(std::ssize(own));
    std::vector<std::string> texts;
    std::vector<Message> sends, receives;
    if (!leads()) {
      if (!own.empty()) sends.push_back({0, bytes_of(own)});
    } else {
      for (const int64_t bytes : sizes) texts.emplace_back(static_cast<size_t>(bytes), '\0');
      texts[0] = own;
      for (int r = 1; r < size(); ++r)
        if (const std::string& text = texts[static_cast<size_t>(r)]; !text.empty())
          receives.push_back({r, bytes_of(text)});
    }
    if (!sends.empty() || !receives.empty()) group_.exchange(stream_, sends, receives);
    stream_.synchronize();
    return texts;
  }

  std::string broadcast(std::string_view own) override {
    const int64_t bytes = all(std::ssize(own))[0];
    std::string text = leads() ? std::string(own) : std::string(static_cast<size_t>(bytes), '\0');
    if (bytes > 0) group_.broadcast(stream_, bytes_of(text), 0);
    stream_.synchronize();
    return text;
  }

  void exchange(std::span<const Parcel> sends, std::span<const Parcel> receives) override {
    const auto messages = [](std::span<const Parcel> parcels) {
      std::vector<Message> all;
      for (const Parcel& p : parcels)
        all.push_back({p.rank, Tensor::borrow(p.bytes.data(), DType::u8, {std::ssize(p.bytes)})});
      return all;
    };
    if (!sends.empty() || !receives.empty()) group_.exchange(stream_, messages(sends), messages(receives));
    stream_.synchronize();
  }

 private:
  Communicator& group_;
  WorkerPool pool_;
  CpuStream stream_;
};

}  // namespace

std::unique_ptr<Peers> make_solo_peers() { return std::make_unique<SoloPeers>(); }
std::unique_ptr<Peers> make_peers(Communicator& group) { return std::make_unique<GroupPeers>(group); }

}  // namespace strata
