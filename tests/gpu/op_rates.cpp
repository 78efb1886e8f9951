// SPDX-License-Identifier: Apache-2.0
// How fast a GPU does what a training step is made of: one JSON object on standard output, of matrix
// products, attention forward and backward, a copy, and what memory bounds beside that copy. Times are of the
// GPU's own clock, medians over rounds.
//   gpu_op_rates [--tiny]     --tiny: sizes of a moment, to see that it works; the figures mean nothing
#include <fmt/format.h>

#include <string_view>
#include <vector>

#include "core/ops/attention.h"
#include "core/ops/matmul.h"
#include "tests/gpu/gpu_bench.h"

namespace strata {
namespace {

std::string product(Bench& bench, int64_t m, int64_t n, int64_t k) {
  const Tensor a = bench.normal({m, k}), b = bench.normal({k, n});
  const Tensor out = make_tensor(*bench.device.memory(), DType::bf16, {m, n}, "bench");
  const double seconds = bench.seconds([&] { matmul(bench.stream, {.a = a, .b = b, .out = out}); });
  const double flops = 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  return fmt::format(R"({{"what":"matmul bf16","m":{},"n":{},"k":{},"ms":{:.4f},"tflops":{:.1f}}})", m, n, k,
                     seconds * 1e3, flops / seconds / 1e12);
}

// Documents of the same length behind each other, or (`packed`) of rising ones.
std::vector<AttentionSegment> segments_of(int64_t tokens, int64_t documents, bool packed) {
  std::vector<AttentionSegment> segments;
  int32_t begin = 0;
  for (int64_t i = 0; i < documents; ++i) {
    const int64_t share = packed ? tokens * (2 * i + 1) / (documents * documents) : tokens / documents;
    const auto count = static_cast<int32_t>(i + 1 < documents ? std::max<int64_t>(share, 1) : tokens - begin);
    segments.push_back({begin, count, begin, count, 0});
    begin += count;
  }
  return segments;
}

std::string attention(Bench& bench, int64_t tokens, int64_t documents, bool packed, int64_t heads,
                      int64_t kv_heads, int64_t head_dim) {
  const auto segments = segments_of(tokens, documents, packed);
  const Tensor q = bench.normal({tokens, heads * head_dim}), k = bench.normal({tokens, kv_heads * head_dim});
  const Tensor v = bench.normal(k.shape()), dout = bench.normal(q.shape());
  const auto like = [&](const Tensor& x) {
    return make_tensor(*bench.device.memory(), DType::bf16, x.shape(), "bench");
  };
  const Tensor out = like(q), dq = like(q), dk = like(k), dv = like(v);
  const Tensor lse = make_tensor(*bench.device.memory(), DType::f32, {heads, tokens}, "bench");
  const float scale = 1 / std::sqrt(static_cast<float>(head_dim));
  const double forward = bench.seconds([&] {
    attention_forward(bench.stream, {.q = q,
                                     .k = k,
                                     .v = v,
                                     .out = out,
                                     .lse = lse,
                                     .heads = heads,
                                     .kv_heads = kv_heads,
                                     .scale = scale,
                                     .segments = segments});
  });
  const double backward = bench.seconds([&] {
    attention_backward(bench.stream, {.q = q,
                                      .k = k,
                                      .v = v,
                                      .out = out,
                                      .lse = lse,
                                      .dout = dout,
                                      .dq = dq,
                                      .dk = dk,
                                      .dv = dv,
                                      .heads = heads,
                                      .kv_heads = kv_heads,
                                      .scale = scale,
                                      .segments = segments});
  });
  double pairs = 0;  // that see each other
  for (const AttentionSegment& s : segments) pairs += 0.5 * static_cast<double>(s.q_count) * (s.q_count + 1);
  const double flops = 4 * pairs * static_cast<double>(heads * head_dim);
  return fmt::format(
      R"({{"what":"attention bf16 causal","tokens":{},"documents":{},"packed":{},"heads":{},"kv_heads":{},"head_dim":{},)"
      R"("forward_ms":{:.4f},"forward_tflops":{:.1f},"backward_ms":{:.4f},"backward_tflops":{:.1f}}})",
      tokens, documents, packed, heads, kv_heads, head_dim, forward * 1e3, flops / forward / 1e12,
      backward * 1e3, 2.5 * flops / backward / 1e12);
}

// Bytes read and written a second.
double copy_rate(Bench& bench, int64_t elements) {
  const Tensor x = bench.normal({elements});
  const Tensor y = make_tensor(*bench.device.memory(), DType::bf16, {elements}, "bench");
  return 4.0 * static_cast<double>(elements) / bench.seconds([&] { copy(bench.stream, x, y); });
}

void run(bool tiny) {
  const auto device = open_gpu(0);
  const auto stream = device->make_stream(OpenDevice::Use::compute);
  Bench bench{*device, *stream};
  std::vector<std::string> rows;
  const int64_t unit = tiny ? 16 : 1024;
  for (const auto& [m, n, k] :
       {std::tuple<int64_t, int64_t, int64_t>{4, 4, 4}, {8, 8, 8}, {8, 3, 1}, {8, 50, 1}})
    rows.push_back(product(bench, m * unit, n * unit, k * unit));
  for (const int64_t tokens : {4 * unit, 16 * unit}) {
    rows.push_back(attention(bench, tokens, 1, false, tiny ? 2 : 32, tiny ? 1 : 8, tiny ? 16 : 128));
    rows.push_back(attention(bench, tokens, 4, false, tiny ? 2 : 12, tiny ? 2 : 12, tiny ? 16 : 64));
    rows.push_back(attention(bench, tokens, 13, true, tiny ? 2 : 32, tiny ? 1 : 8, tiny ? 16 : 128));
  }
  const double copied = copy_rate(bench, unit * unit * (tiny ? 1 : 256));
  rows.push_back(fmt::format(R"({{"what":"copy bf16","gb_per_s":{:.0f}}})", copied / 1e9));
  for (std::string& row : stream_rates(bench, tiny)) rows.push_back(std::move(row));
  for (std::string& row : bandwidth_rates(bench, tiny, copied)) rows.push_back(std::move(row));
  for (std::string& row : fp8_rates(bench, tiny, copied)) rows.push_back(std::move(row));
  fmt::print("{{\"gpu\":\"{}\",\"tiny\":{},\"rates\":[\n  {}\n]}}\n", device->name(), tiny,
             fmt::join(rows, ",\n  "));
}

}  // namespace
}  // namespace strata

int main(int count, char** words) {
  const bool tiny = count > 1 && std::string_view(words[1]) == "--tiny";
  if (strata::num_gpus() == 0) {
    fmt::print(stderr, "gpu_op_rates: there is no GPU here\n");
    return 5;
  }
  strata::run(tiny);
  return 0;
}
