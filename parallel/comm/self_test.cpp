// SPDX-License-Identifier: Apache-2.0
#include "parallel/comm/self_test.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/error.h"

namespace strata {
namespace {

// Small whole numbers: their sums are exact in f32 whatever the order.
float number(int member, int64_t i) { return static_cast<float>((member * 31 + i * 7) % 1009); }

class SelfTest {
 public:
  SelfTest(Communicator& comm, Stream& stream, int64_t bytes)
      : comm_(comm),
        stream_(stream),
        q_(comm.size()),
        me_(comm.rank()),
        n_(std::max<int64_t>(1, bytes / 4 / q_)) {}

  void run() {
    all_gather();
    reduce_scatter();
    all_reduce();
    all_to_all();
    broadcast();
    exchange();
    comm_.barrier();
  }

 private:
  template <typename Element>
  Tensor make(int64_t n, const Element& element) {
    const Tensor x = make_tensor(*allocator_, DType::f32, {n}, "self test");
    for (int64_t i = 0; i < n; ++i) x.data<float>()[i] = element(i);
    return x;
  }
  template <typename Element>
  void expect(CollectiveKind kind, const Tensor& actual, const Element& element) {
    stream_.synchronize();
    for (int64_t i = 0; i < actual.numel(); ++i)
      if (actual.data<float>()[i] != element(i))
        throw Error(
            Fault::environment,
            {.what = fmt::format("the self test of {} failed: its transport returns wrong data", name(kind)),
             .where = fmt::format("member {} of the {} of \"{}\", element {} of {}", me_, q_,
                                  comm_.spec().purpose, i, actual.numel()),
             .found = fmt::format("{}", actual.data<float>()[i]),
             .expected = fmt::format("{}", element(i)),
             .fix = "update the MPI library, or choose another of its transports"});
  }
  float sum(int64_t i) const {
    float total = 0;
    for (int member = 0; member < q_; ++member) total += number(member, i);
    return total;
  }

  void all_gather() {
    const Tensor part = make(n_, [&](int64_t i) { return number(me_, i); });
    const Tensor whole = make(n_ * q_, [](int64_t) { return -1.0f; });
    comm_.all_gather(stream_, part, whole);
    expect(CollectiveKind::all_gather, whole,
           [&](int64_t i) { return number(static_cast<int>(i / n_), i % n_); });
  }
  void reduce_scatter() {
    const Tensor whole = make(n_ * q_, [&](int64_t i) { return number(me_, i); });
    const Tensor part = make(n_, [](int64_t) { return -1.0f; });
    comm_.reduce_scatter(stream_, whole, part);
    expect(CollectiveKind::reduce_scatter, part, [&](int64_t i) { return sum(me_ * n_ + i); });
  }
  void all_reduce() {
    const Tensor values = make(n_ * q_ + 1, [&](int64_t i) { return number(me_, i); });
    comm_.all_reduce(stream_, values);
    expect(CollectiveKind::all_reduce, values, [&](int64_t i) { return sum(i); });
  }
  void all_to_all() {
    const Tensor from = make(n_ * q_, [&](int64_t i) { return number(me_, i); });
    const Tensor to = make(n_ * q_, [](int64_t) { return -1.0f; });
    comm_.all_to_all(stream_, from, to);
    expect(CollectiveKind::all_to_all, to,
           [&](int64_t i) { return number(static_cast<int>(i / n_), me_ * n_ + i % n_); });
  }
  void broadcast() {
    const int root = q_ - 1;
    const Tensor values = make(n_ * q_, [&](int64_t i) { return me_ == root ? number(root, i) : -1.0f; });
    comm_.broadcast(stream_, values, root);
    expect(CollectiveKind::broadcast, values, [&](int64_t i) { return number(root, i); });
  }
  void exchange() {
    const int after = (me_ + 1) % q_, before = (me_ + q_ - 1) % q_;
    const std::vector<Message> sends = {{after, make(n_ * q_, [&](int64_t i) { return number(me_, i); })},
                                        {before, make(1, [&](int64_t) { return number(me_, 5); })}};
    const std::vector<Message> receives = {{before, make(n_ * q_, [](int64_t) { return -1.0f; })},
                                           {after, make(1, [](int64_t) { return -1.0f; })}};
    comm_.exchange(stream_, sends, receives);
    expect(CollectiveKind::exchange, receives[0].tensor, [&](int64_t i) { return number(before, i); });
    expect(CollectiveKind::exchange, receives[1].tensor, [&](int64_t) { return number(after, 5); });
  }

  Communicator& comm_;
  Stream& stream_;
  int q_, me_;
  int64_t n_;
  std::shared_ptr<Allocator> allocator_ = make_cpu_allocator();
};

}  // namespace

void self_test(Communicator& communicator, Stream& stream, std::span<const int64_t> bytes) {
  for (const int64_t size : bytes) SelfTest(communicator, stream, size).run();
}

}  // namespace strata
