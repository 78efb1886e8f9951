// SPDX-License-Identifier: Apache-2.0
// The file: "STRDPO1\n", the data's fingerprint (u64), how many numbers of training and of validation (i64
// each), the numbers (f32), and a CRC32C of all before it.
#include "launch/train/preference_reference.h"

#include <algorithm>
#include <cstring>

#include "core/base/check.h"
#include "core/io/crc32c.h"

namespace strata {
namespace {

constexpr std::string_view kMagic = "STRDPO1\n";

template <typename T>
void put(std::string& text, T value) {
  text.append(reinterpret_cast<const char*>(&value), sizeof value);
}
template <typename T>
T take(std::string_view& text) {
  T value;
  std::memcpy(&value, text.data(), sizeof value);
  text.remove_prefix(sizeof value);
  return value;
}

// Targets of one response alone.
void keep_only(const Batch& all, int64_t begin, int64_t end, Batch& batch) {
  std::fill(batch.targets.begin(), batch.targets.end(), kNoTarget);
  std::copy(all.targets.begin() + begin, all.targets.begin() + end, batch.targets.begin() + begin);
}

int64_t samples_of(const std::vector<std::shared_ptr<const Dataset>>& datasets) {
  return datasets.empty() ? 0 : datasets[0]->num_samples();
}

}  // namespace

std::vector<float> reference_log_probabilities(StepRunner& runner,
                                               const std::shared_ptr<const Dataset>& pairs, int64_t vocab,
                                               int data_ranks, const std::function<void(double)>& progress) {
  const DataSource source(pairs, {.order = SampleOrder::sequential, .vocab_size = vocab});
  const int64_t rows = runner.plan().geometry().rows, samples = pairs->num_samples();
  std::vector<float> all;
  Batch batch;
  for (int64_t cursor = 0; cursor < samples; cursor += rows) {
    if (progress) progress(static_cast<double>(cursor) / static_cast<double>(samples));
    source.fill(cursor, rows, batch);
    const Batch whole = batch;
    for (int64_t row = 0; row < std::min(rows, samples - cursor); ++row) {
      int64_t begin = row * batch.seq_len;
      for (const TokenRange& response : pairs->packed()->row(cursor + row)) {
        keep_only(whole, begin, begin + response.size(), batch);
        begin += response.size();
        all.push_back(static_cast<float>(-runner.evaluate(batch).value() / data_ranks));
      }
    }
  }
  return all;
}

bool load_reference(FileSystem& files, const std::string& path, RunData& data) {
  if (!files.info(path)) return false;
  const std::string text = read_file(files, path);
  const auto train = samples_of(data.train), valid = samples_of(data.valid);
  const size_t numbers = static_cast<size_t>(2 * (train + valid));
  if (text.size() != kMagic.size() + 24 + 4 * numbers + 4 || !text.starts_with(kMagic)) return false;
  std::string_view rest = std::string_view(text).substr(0, text.size() - 4);
  const uint32_t sum = crc32c(std::as_bytes(std::span(rest)));
  std::string_view stored = std::string_view(text).substr(text.size() - 4);
  if (take<uint32_t>(stored) != sum) return false;
  rest.remove_prefix(kMagic.size());
  if (take<uint64_t>(rest) != data.fingerprint || take<int64_t>(rest) != train ||
      take<int64_t>(rest) != valid)
    return false;
  const auto list = [&](int64_t samples) {
    std::vector<float> values(static_cast<size_t>(2 * samples));
    for (float& value : values) value = take<float>(rest);
    return std::make_shared<const std::vector<float>>(std::move(values));
  };
  data.train_reference = list(train);
  if (valid > 0) data.valid_reference = list(valid);
  return true;
}

void save_reference(FileSystem& files, const std::string& path, const RunData& data) {
  std::string text(kMagic);
  put(text, data.fingerprint);
  put(text, samples_of(data.train));
  put(text, samples_of(data.valid));
  for (const auto& list : {data.train_reference, data.valid_reference})
    if (list)
      for (const float value : *list) put(text, value);
  put(text, crc32c(std::as_bytes(std::span<const char>(text))));
  replace_file(files, path, text);
}

}  // namespace strata
