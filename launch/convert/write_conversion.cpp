// SPDX-License-Identifier: Apache-2.0
#include "launch/convert/write_conversion.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>

#include "checkpoint/adapters/dcp_sink.h"
#include "checkpoint/adapters/dcp_source.h"
#include "checkpoint/adapters/gguf_sink.h"
#include "checkpoint/adapters/gguf_source.h"
#include "checkpoint/adapters/megatron_model.h"
#include "checkpoint/adapters/safetensors_sink.h"
#include "checkpoint/adapters/safetensors_source.h"
#include "checkpoint/adapters/universal_sink.h"
#include "checkpoint/adapters/universal_source.h"
#include "checkpoint/convert.h"
#include "checkpoint/strata_sink.h"
#include "checkpoint/strata_source.h"
#include "core/base/error.h"
#include "launch/config/units.h"
#include "launch/convert/progress.h"
#include "launch/metrics/humanize.h"

namespace strata {
namespace {

// What a worker may hold. Half of the budget is for pieces; a source holds a block or a span with gaps beside
// each.
int64_t piece_bytes(const std::string& memory, int threads) {
  const auto budget = parse_size(memory);
  constexpr int64_t kLeast = int64_t{256} << 20;
  if (!budget || *budget < kLeast)
    throw Error(Fault::usage, {.what = "--memory is no size we can work with",
                               .where = "command line",
                               .found = memory,
                               .expected = fmt::format("at least {}", human_bytes(kLeast)),
                               .fix = "--memory 2GiB"});
  return std::clamp(*budget / 2 / threads - (int64_t{8} << 20), int64_t{1} << 20, int64_t{32} << 20);
}

// A matrix that was stored twice is kept once: only if the copies agree.
void check_twins(const OpenedCheckpoint& opened, int64_t piece, WorkerPool& pool) {
  for (const auto& [a, b] : opened.twins) {
    const TensorSpec &first = opened.stored->tensors()[a], &second = opened.stored->tensors()[b];
    const size_t both[] = {a, b};
    const auto digests = read_digests(*opened.stored, both, piece, pool, nullptr);
    if (first.shape == second.shape && first.type == second.type && digests[0] == digests[1]) continue;
    throw Error(Fault::model,
                {.what = "two tensors that the configuration ties are not the same",
                 .where = opened.stored->path(),
                 .found = fmt::format("{}, {}", to_string(first), to_string(second)),
                 .fix = "set tie_word_embeddings to false in config.json if they are meant to differ"});
  }
}

// A sink whose cut-off conversions go on.
template <typename Sink>
std::unique_ptr<TensorSink> resumable(FileSystem& files, const WriteConversion& options,
                                      typename Sink::Options own) {
  own.keep_partial = true;
  own.identity = options.identity;
  return std::make_unique<Sink>(files, options.target, std::move(own));
}

std::unique_ptr<TensorSink> make_sink(FileSystem& files, const ConversionPlan& plan,
                                      const WriteConversion& options, int64_t piece) {
  switch (plan.format) {
    case TargetFormat::strata:
      return resumable<StrataSink>(
          files, options, {.step = plan.source->metadata().value("step", int64_t{0}), .piece_bytes = piece});
    case TargetFormat::dcp:
      return resumable<DcpSink>(files, options, {.piece_bytes = piece});
    case TargetFormat::megatron:
      return resumable<DcpSink>(files, options,
                                {.piece_bytes = piece, .plain_keys = true, .objects = plan.objects});
    case TargetFormat::universal:
      return resumable<UniversalSink>(files, options, {.piece_bytes = piece});
    case TargetFormat::gguf:
      return std::make_unique<GgufSink>(
          files, options.target,
          GgufSink::Options{
              .values = plan.gguf->values, .in_blocks = plan.gguf->in_blocks, .piece_bytes = piece});
    case TargetFormat::peft:
      return resumable<SafetensorsSink>(files, options, {.piece_bytes = piece, .stem = "adapter_model"});
    default:
      return resumable<SafetensorsSink>(files, options, {.piece_bytes = piece});
  }
}

// What was written, under the names that it was written with.
std::unique_ptr<TensorSource> open_written(FileSystem& files, const ConversionPlan& plan,
                                           const std::string& path) {
  switch (plan.format) {
    case TargetFormat::strata:
      return std::make_unique<StrataSource>(files, path);
    case TargetFormat::dcp:
      return std::make_unique<DcpSource>(files, path, DcpSource::Names::in_state_dict);
    case TargetFormat::megatron:
      return std::make_unique<DcpSource>(files, path);
    case TargetFormat::universal:
      return std::make_unique<UniversalSource>(files, path);
    case TargetFormat::gguf:
      return std::make_unique<GgufSource>(files, path);
    default:
      return std::make_unique<SafetensorsSource>(files, path);
  }
}

}  // namespace

// Names, sizes and dates of what is read: a conversion goes on only from the very same.
std::string identity_of(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  std::string identity = fs::absolute(path, ignored).string();
  const auto add = [&](const fs::path& file) {
    const auto bytes = fs::file_size(file, ignored);
    identity += fmt::format("\n{} {} {}", file.filename().string(), bytes,
                            fs::last_write_time(file, ignored).time_since_epoch().count());
  };
  if (!fs::is_directory(path, ignored)) add(path);
  std::vector<fs::path> inside;
  for (const auto& entry : fs::recursive_directory_iterator(path, ignored))
    if (entry.is_regular_file(ignored)) inside.push_back(entry.path());
  std::sort(inside.begin(), inside.end());
  for (const fs::path& file : inside) add(file);
  return identity;
}

void write_conversion(FileSystem& files, const OpenedCheckpoint& opened, const ConversionPlan& plan,
                      const WriteConversion& given, WorkerPool& pool) {
  // Megatron keeps iterations in a folder, and which is the newest in a file beside them.
  WriteConversion options = given;
  std::string iteration;
  if (plan.format == TargetFormat::megatron) {
    iteration = std::to_string(plan.source->metadata().at("step").get<int64_t>());
    options.target += "/" + megatron_iteration(std::stoll(iteration));
  }
  const int64_t piece = piece_bytes(options.memory, pool.threads());
  const std::span<const TensorSpec> tensors = plan.source->tensors();
  int64_t bytes = 0;
  for (const TensorSpec& tensor : tensors) bytes += tensor.bytes();
  check_twins(opened, piece, pool);
  const auto begin = std::chrono::steady_clock::now();
  const auto sink = make_sink(files, plan, options, piece);
  sink->declare({tensors.begin(), tensors.end()}, plan.source->metadata(), plan.assets);
  Conversion done;
  {
    Progress progress("convert", bytes);
    done = convert_tensors(*plan.source, *sink, pool, [&](int64_t now) { progress.add(now); });
  }
  {
    Progress progress("compare", bytes);
    const auto written = open_written(files, plan, sink->finish());
    check_written(*written, tensors, done.digests, piece, pool, [&](int64_t now) { progress.add(now); });
  }
  sink->commit();
  if (!iteration.empty())
    replace_file(files, fmt::format("{}/{}", given.target, kMegatronTracker), iteration);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  fmt::print("wrote     {}: {} tensors, {} in {}{}; read again, every digest is the same\n", options.target,
             tensors.size(), human_bytes(done.bytes), human_duration(seconds),
             done.kept_bytes > 0
                 ? fmt::format(" ({} were there from an earlier try)", human_bytes(done.kept_bytes))
                 : "");
}

}  // namespace strata
