// SPDX-License-Identifier: Apache-2.0
// The attention library of the pretend GPU (the twin of core/ops/cuda/cudnn): plain loops in double, one pass
// a query. It insists on what cuDNN asks of a batch, and spoils what a caller must not count on: working
// memory, and log-sum-exps past the end of a sequence.
#include "core/ops/cuda/sdpa.h"

#include <cmath>
#include <limits>
#include <vector>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/device/cuda/cuda_stream.h"
#include "core/tensor/bf16.h"
#include "tests/support/cuda_on_cpu/call_faults.h"
#include "tests/support/cuda_on_cpu/device_memory.h"
#include "tests/support/cuda_on_cpu/streams.h"

namespace strata::cuda {
namespace {

// One sequence and one query head of a call.
struct Sequence {
  const SdpaCall& call;
  int64_t at, head, kv_head, queries, keys;

  Sequence(const SdpaCall& c, int64_t sequence, int64_t query_head)
      : call(c),
        at(sequence),
        head(query_head),
        kv_head(query_head / (c.shape.heads / c.shape.kv_heads)),
        queries(c.shape.ragged ? c.tables[sequence] : c.shape.q_length),
        keys(c.shape.ragged ? c.tables[c.shape.batch + sequence] : c.shape.kv_length) {
    check(queries <= c.shape.q_length && keys <= c.shape.kv_length,
          "[sdpa] a sequence longer than the batch's");
  }

  bf16* row(int operand, int64_t token) const {
    const SdpaShape& s = call.shape;
    const bool query = is_query_side(operand);
    const bool values =
        operand == kSdpaV || operand == kSdpaOut || operand == kSdpaDOut || operand == kSdpaDV;
    const int64_t begin = s.ragged ? call.tables[2 * s.batch + operand * (s.batch + 1) + at]
                                   : at * (query ? s.q_length : s.kv_length) * s.stride[operand];
    return static_cast<bf16*>(call.operand[operand]) + begin + token * s.stride[operand] +
           (query ? head : kv_head) * (values ? s.v_dim : s.qk_dim);
  }
  float& stats(int64_t query) const {
    return call.stats[(at * call.shape.heads + head) * call.shape.q_length + query];
  }
  int64_t seen(int64_t query) const { return call.shape.causal ? std::min(query + 1, keys) : keys; }
  double score(int64_t query, int64_t key) const {
    return static_cast<double>(call.shape.scale) *
           dot(row(kSdpaQ, query), row(kSdpaK, key), call.shape.qk_dim);
  }
  static double dot(const bf16* a, const bf16* b, int64_t count) {
    double sum = 0;
    for (int64_t i = 0; i < count; ++i)
      sum += static_cast<double>(to_float(a[i])) * static_cast<double>(to_float(b[i]));
    return sum;
  }
};

void check_call(const SdpaCall& call, int operands) {
  const SdpaShape& s = call.shape;
  check(s.batch > 0 && s.kv_heads > 0 && s.heads % s.kv_heads == 0, "[sdpa] {} heads on {}", s.heads,
        s.kv_heads);
  for (int i = 0; i < operands; ++i)
    check(std::bit_cast<uintptr_t>(call.operand[i]) % 16 == 0 && s.stride[i] % 8 == 0,
          "[sdpa] operand {} is not on 16 bytes", i);
  check(s.ragged == (call.tables != nullptr) && call.stats, "[sdpa] tables and the batch's kind disagree");
  for (int i = 0; s.ragged && i < operands; ++i)
    for (int64_t b = 0; b < s.batch; ++b) {
      const int32_t* const offsets = call.tables + 2 * s.batch + i * (s.batch + 1);
      check(offsets[b] <= offsets[b + 1], "[sdpa] offsets of operand {} fall", i);
    }
}

int64_t tiles(int64_t length) { return round_up(length, 128); }

// What cuDNN 9.19 takes for backward on an H100 (tests/core/ops/cudnn checks that), and rowsum(dOut . out).
int64_t backward_bytes(const SdpaShape& s) {
  const int64_t scores = tiles(s.q_length) * tiles(s.kv_length);
  const int64_t shared = s.heads == s.kv_heads ? 0 : s.kv_length * (s.qk_dim + s.v_dim);
  return s.batch * s.heads * (2 * (scores + shared) + 4 * s.q_length);
}

void spoil(const SdpaCall& call, int64_t bytes) {
  check(bytes <= call.workspace_bytes, "[sdpa] {} bytes of working memory, {} needed", call.workspace_bytes,
        bytes);
  std::fill_n(call.workspace, std::min<int64_t>(bytes, 4096), std::byte{0xFF});
}

}  // namespace

bool sdpa_may_support(int64_t qk_dim, int64_t v_dim) {
  return qk_dim % 8 == 0 && v_dim % 8 == 0 && qk_dim <= 256 && v_dim <= 256;
}
bool sdpa_forward_supported(CudaStream&, const SdpaShape& s, int64_t) {
  return sdpa_may_support(s.qk_dim, s.v_dim);
}
bool sdpa_backward_supported(CudaStream&, const SdpaShape& s, int64_t) {
  return sdpa_may_support(s.qk_dim, s.v_dim);
}

static void forward(const SdpaCall& call) {
  const cuda_on_cpu::DeviceMemoryAccess open;
  check_call(call, kSdpaOut + 1);
  spoil(call, 4096);
  const SdpaShape& s = call.shape;
  for (int64_t b = 0; b < s.batch; ++b)
    for (int64_t h = 0; h < s.heads; ++h) {
      const Sequence sequence(call, b, h);
      for (int64_t i = 0; i < s.q_length; ++i) {
        if (i >= sequence.queries) {
          sequence.stats(i) = std::numeric_limits<float>::quiet_NaN();
          continue;
        }
        std::vector<double> weights, out(static_cast<size_t>(s.v_dim));
        double largest = -std::numeric_limits<double>::infinity(), sum = 0;
        for (int64_t j = 0; j < sequence.seen(i); ++j) {
          weights.push_back(sequence.score(i, j));
          largest = std::max(largest, weights.back());
        }
        for (double& w : weights) sum += w = std::exp(w - largest);
        for (size_t j = 0; j < weights.size(); ++j)
          for (size_t c = 0; c < out.size(); ++c)
            out[c] += weights[j] / sum *
                      static_cast<double>(to_float(sequence.row(kSdpaV, static_cast<int64_t>(j))[c]));
        for (size_t c = 0; c < out.size(); ++c)
          sequence.row(kSdpaOut, i)[c] = to_bf16(static_cast<float>(out[c]));
        sequence.stats(i) = static_cast<float>(largest + std::log(sum));
      }
    }
}

static void backward(const SdpaCall& call) {
  const cuda_on_cpu::DeviceMemoryAccess open;
  check_call(call, kSdpaOperands);
  const SdpaShape& s = call.shape;
  spoil(call, backward_bytes(s));
  const auto add = [](std::vector<double>& sums, int64_t at, double weight, const bf16* row, int64_t count) {
    for (int64_t c = 0; c < count; ++c)
      sums[static_cast<size_t>(at * count + c)] += weight * static_cast<double>(to_float(row[c]));
  };
  const auto store = [](const std::vector<double>& sums, int64_t at, bf16* row, int64_t count) {
    for (int64_t c = 0; c < count; ++c)
      row[c] = to_bf16(static_cast<float>(sums[static_cast<size_t>(at * count + c)]));
  };
  for (int64_t b = 0; b < s.batch; ++b)
    for (int64_t kv = 0; kv < s.kv_heads; ++kv) {
      const int64_t shared = s.heads / s.kv_heads;
      const auto keys = static_cast<size_t>(Sequence(call, b, kv * shared).keys);
      std::vector<double> dk(keys * static_cast<size_t>(s.qk_dim)), dv(keys * static_cast<size_t>(s.v_dim));
      for (int64_t h = kv * shared; h < (kv + 1) * shared; ++h) {
        const Sequence q(call, b, h);
        for (int64_t i = q.queries; i < s.q_length; ++i) check(q.stats(i) == 0, "[sdpa] stats past the end");
        for (int64_t i = 0; i < q.queries; ++i) {
          std::vector<double> dq(static_cast<size_t>(s.qk_dim));
          const double delta = Sequence::dot(q.row(kSdpaDOut, i), q.row(kSdpaOut, i), s.v_dim);
          for (int64_t j = 0; j < q.seen(i); ++j) {
            const double p = std::exp(q.score(i, j) - static_cast<double>(q.stats(i)));
            const double dp = Sequence::dot(q.row(kSdpaDOut, i), q.row(kSdpaV, j), s.v_dim);
            const double ds = p * (dp - delta) * static_cast<double>(s.scale);
            add(dv, j, p, q.row(kSdpaDOut, i), s.v_dim);
            add(dk, j, ds, q.row(kSdpaQ, i), s.qk_dim);
            add(dq, 0, ds, q.row(kSdpaK, j), s.qk_dim);
          }
          store(dq, 0, q.row(kSdpaDQ, i), s.qk_dim);
        }
      }
      const Sequence any(call, b, kv * shared);
      for (int64_t j = 0; j < any.keys; ++j) {
        store(dk, j, any.row(kSdpaDK, j), s.qk_dim);
        store(dv, j, any.row(kSdpaDV, j), s.v_dim);
      }
    }
}

// As the cuDNN side says it.
static void fail_if_planned() {
  if (const int status = cuda_on_cpu::call_fault("cudnnBackendExecute"))
    throw Error(Fault::environment, {.what = "attention on the GPU failed",
                                     .where = "cudnnBackendExecute",
                                     .found = fmt::format("status {} of the pretended cuDNN", status),
                                     .fix = "check that the cuDNN library belongs to the CUDA toolkit"});
}

void sdpa_forward(CudaStream& stream, const SdpaCall& call) {
  fail_if_planned();
  cuda_on_cpu::enqueue(stream.handle(), [call] { forward(call); });
}
void sdpa_backward(CudaStream& stream, const SdpaCall& call) {
  fail_if_planned();
  cuda_on_cpu::enqueue(stream.handle(), [call] { backward(call); });
}

}  // namespace strata::cuda
