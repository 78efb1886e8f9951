// SPDX-License-Identifier: Apache-2.0
#include "tests/parallel/comm/collective_cases.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>

#include "core/base/hash.h"
#include "core/device/cpu/cpu_stream.h"
#include "core/tensor/bf16.h"
#include "core/tensor/transfer.h"

namespace strata::comm_cases {
namespace {

// Numbers of every size, so that the order of a sum shows in its bits.
float number(uint64_t key, int member, int64_t i) {
  const uint64_t h = hash_combine(hash_combine(key, static_cast<uint64_t>(member)), static_cast<uint64_t>(i));
  // Sign, one of eight exponents, mantissa.
  return std::bit_cast<float>(static_cast<uint32_t>((h & 1) << 31 | (127 + (h >> 1 & 7)) << 23 | h >> 41));
}

template <typename T>
T value(uint64_t key, int member, int64_t i) {
  const uint64_t h = hash_combine(hash_combine(key, static_cast<uint64_t>(member)), static_cast<uint64_t>(i));
  if constexpr (std::is_same_v<T, float>) return number(key, member, i);
  if constexpr (std::is_same_v<T, bf16>) return to_bf16(number(key, member, i));
  if constexpr (std::is_integral_v<T>) return static_cast<T>(h);
}

// The tree as its definition says it: the first bit_floor(n - 1) members, then the others.
float tree(Reduction reduction, const float* x, int members) {
  if (members == 1) return x[0];
  const int left = static_cast<int>(std::bit_floor(static_cast<unsigned>(members - 1)));
  const float a = tree(reduction, x, left), b = tree(reduction, x + left, members - left);
  return reduction == Reduction::sum ? a + b : std::fmax(a, b);
}

template <typename T>
T join(Reduction reduction, uint64_t key, int members, int64_t i) {
  if constexpr (std::is_same_v<T, int64_t>) {
    uint64_t sum = 0;
    for (int m = 0; m < members; ++m) sum += static_cast<uint64_t>(value<T>(key, m, i));
    return static_cast<int64_t>(sum);
  } else {
    std::array<float, 16> x{};
    for (int m = 0; m < members; ++m) x[static_cast<size_t>(m)] = to_float(value<T>(key, m, i));
    const float joined = tree(reduction, x.data(), members);
    if constexpr (std::is_same_v<T, bf16>)
      return to_bf16(joined);
    else
      return joined;
  }
}

class Run {
 public:
  Run(Communicator& comm, Stream& stream, const Options& options)
      : comm_(comm), stream_(stream), options_(options), q_(comm.size()), me_(comm.rank()) {}

  std::string all() {
    for (const int64_t n : options_.sizes) {
      type<float>(n);
      if (options_.only_f32) continue;
      type<bf16>(n);
      type<int64_t>(n);
      type<uint8_t>(n);
    }
    comm_.barrier();
    return wrong_;
  }

 private:
  template <typename T>
  Tensor make(int64_t n, const auto& element) {
    const Tensor host = make_tensor(*make_cpu_allocator(), DTypeOf<T>::value, {n}, "case");
    for (int64_t i = 0; i < n; ++i) host.data<T>()[i] = element(i);
    if (stream_.device() == host.device()) return host;
    const Tensor x = make_tensor(*options_.memory, DTypeOf<T>::value, {n}, "case");
    transfer(stream_, host, x);
    stream_.synchronize();
    return x;
  }
  template <typename T>
  void expect(const char* what, const Tensor& actual, const auto& element) {
    const Tensor host = on_host(stream_, actual);
    for (int64_t i = 0; i < actual.numel(); ++i) {
      const T expected = element(i);
      if (std::memcmp(&host.data<T>()[i], &expected, sizeof(T)) == 0) continue;
      if (wrong_.empty())
        wrong_ = fmt::format("{} of {} {} among {}: member {} has a wrong element {}", what, actual.numel(),
                             name(actual.dtype()), q_, me_, i);
      return;
    }
  }
  void next() {
    ++key_;
    if (options_.between) options_.between();
  }

  template <typename T>
  void type(int64_t n) {
    constexpr DType dtype = DTypeOf<T>::value;
    const auto mine = [&](int64_t i) { return value<T>(key_, me_, i); };
    const auto nothing = [](int64_t) { return T{}; };
    const auto gathered = [&](int64_t i) { return value<T>(key_, static_cast<int>(i / n), i % n); };

    next();
    Tensor whole = make<T>(n * q_, nothing);
    comm_.all_gather(stream_, make_kept<T>(n, mine), whole);
    expect<T>("all_gather", whole, gathered);

    next();
    whole = make<T>(n * q_, [&](int64_t i) { return i / n == me_ ? mine(i % n) : T{}; });
    comm_.all_gather(stream_, whole.slice(0, me_ * n, n), whole);
    expect<T>("all_gather in place", whole, gathered);

    next();
    whole = make<T>(n * q_, mine);
    Tensor to = make<T>(n * q_, nothing);
    comm_.all_to_all(stream_, whole, to);
    expect<T>("all_to_all", to,
              [&](int64_t i) { return value<T>(key_, static_cast<int>(i / n), me_ * n + i % n); });
    expect<T>("source of all_to_all", whole, mine);

    for (int root = 0; root < q_; root += std::max(1, q_ - 1)) {
      next();
      whole = make<T>(n, [&](int64_t i) { return me_ == root ? mine(i) : T{}; });
      comm_.broadcast(stream_, whole, root);
      expect<T>("broadcast", whole, [&](int64_t i) { return value<T>(key_, root, i); });
    }

    exchange<T>(n);

    if constexpr (dtype == DType::f32 || dtype == DType::bf16) {
      next();
      whole = make<T>(n * q_, mine);
      const Tensor part = make<T>(n, nothing);
      const auto summed = [&](int64_t i) { return join<T>(Reduction::sum, key_, q_, me_ * n + i); };
      comm_.reduce_scatter(stream_, whole, part);
      expect<T>("reduce_scatter", part, summed);
      expect<T>("source of reduce_scatter", whole, mine);
      next();
      whole = make<T>(n * q_, mine);
      comm_.reduce_scatter(stream_, whole, whole.slice(0, me_ * n, n));
      expect<T>("reduce_scatter in place", whole.slice(0, me_ * n, n), summed);

      next();
      whole = make<T>(n, mine);
      comm_.all_reduce(stream_, whole, Reduction::max);
      expect<T>("max", whole, [&](int64_t i) { return join<T>(Reduction::max, key_, q_, i); });
    }
    if constexpr (dtype != DType::u8) {
      next();
      whole = make<T>(n, mine);
      comm_.all_reduce(stream_, whole);
      expect<T>("all_reduce", whole, [&](int64_t i) { return join<T>(Reduction::sum, key_, q_, i); });
    }
  }

  // To the next member two messages of different sizes, to every member one that depends on both, to itself
  // one.
  template <typename T>
  void exchange(int64_t n) {
    next();
    const int after = (me_ + 1) % q_, before = (me_ + q_ - 1) % q_;
    const auto message = [&](int from, int to, int which) {
      return [=, key = key_](int64_t i) { return value<T>(key + 1000000, from * 100 + to, 3 * i + which); };
    };
    std::vector<Message> sends, receives;
    for (int peer = 0; peer < q_; ++peer) {
      sends.push_back({peer, make<T>(n, message(me_, peer, 0))});
      receives.push_back({q_ - 1 - peer, make<T>(n, [](int64_t) { return T{}; })});
    }
    sends.push_back({after, make<T>(n + 1, message(me_, after, 1))});
    sends.push_back({after, make<T>(2 * n, message(me_, after, 2))});
    receives.push_back({before, make<T>(n + 1, [](int64_t) { return T{}; })});
    receives.push_back({before, make<T>(2 * n, [](int64_t) { return T{}; })});
    comm_.exchange(stream_, sends, receives);
    for (int peer = 0; peer < q_; ++peer)
      expect<T>("exchange", receives[static_cast<size_t>(q_ - 1 - peer)].tensor, message(peer, me_, 0));
    expect<T>("second message", receives[static_cast<size_t>(q_)].tensor, message(before, me_, 1));
    expect<T>("third message", receives[static_cast<size_t>(q_) + 1].tensor, message(before, me_, 2));
  }

  // A tensor that lives until the next one: the operation may run after the caller's handle is gone.
  template <typename T>
  Tensor make_kept(int64_t n, const auto& element) {
    return kept_ = make<T>(n, element);
  }

  Communicator& comm_;
  Stream& stream_;
  const Options& options_;
  int q_, me_;
  uint64_t key_ = options_.seed * 1000;
  std::string wrong_;
  Tensor kept_;
};

}  // namespace

std::string run_all(Communicator& comm, Stream& stream, const Options& options) {
  return Run(comm, stream, options).all();
}

std::string run_all(World& world, const Options& options) {
  GroupSpec spec{.purpose = "all", .members = std::vector<int>(static_cast<size_t>(world.size()))};
  std::iota(spec.members.begin(), spec.members.end(), 0);
  const auto comm = world.group(std::move(spec));
  WorkerPool pool(1);
  CpuStream stream(pool, options.seed % 2 == 0 ? CpuStream::Mode::threaded : CpuStream::Mode::inline_);
  return run_all(*comm, stream, options);
}

std::string run_groups(World& world, const Mesh& mesh, const Options& options) {
  std::vector<std::unique_ptr<Communicator>> comms;
  for (const Axis axis : {Axis::pp, Axis::dp, Axis::cp, Axis::tp, Axis::edp, Axis::ep, Axis::etp}) {
    GroupSpec spec{.purpose = std::string(name(axis)), .members = mesh.group(world.rank(), {axis})};
    comms.push_back(world.group(spec));
    std::reverse(spec.members.begin(), spec.members.end());
    spec.purpose += " reversed";
    comms.push_back(world.group(spec));
  }
  WorkerPool pool(1);
  CpuStream stream(pool);
  for (const auto& comm : comms)
    if (std::string wrong = run_all(*comm, stream, options); !wrong.empty())
      return comm->spec().purpose + ": " + wrong;
  return {};
}

}  // namespace strata::comm_cases
