// SPDX-License-Identifier: Apache-2.0
#include "launch/bisect/record_writer.h"

#include "core/base/error.h"
#include "core/base/worker_pool.h"
#include "core/device/cpu/cpu_stream.h"

namespace strata {
namespace {

std::unique_ptr<AppendFile> open_file(FileSystem& files, const std::string& path) {
  if (files.info(path)) {
    if (!is_record(read_file(files, path)))
      throw Error(Fault::usage, {.what = "the file of log.record exists and is not a record",
                                 .where = "log.record",
                                 .found = path,
                                 .fix = "name another file"});
    files.remove(path);
  }
  return std::make_unique<AppendFile>(files, path, AppendFile::Open::create);
}

Tensor bytes_of(std::string& text) {
  return Tensor::borrow(text.data(), DType::u8, {static_cast<int64_t>(text.size())});
}

// Every rank's text comes to rank 0, one after another: visit(rank, text).
template <typename Visit>
void each_text(Communicator& everyone, std::string own, Visit visit) {
  WorkerPool pool(1);
  CpuStream stream(pool);
  const int ranks = everyone.size(), me = everyone.rank();
  std::vector<int64_t> sizes(static_cast<size_t>(ranks));
  sizes[static_cast<size_t>(me)] = static_cast<int64_t>(own.size());
  const Tensor all = Tensor::borrow(sizes.data(), DType::i64, {ranks});
  everyone.all_gather(stream, all.slice(0, me, 1), all);
  if (me == 0) visit(0, own);
  for (int rank = 1; rank < ranks; ++rank) {
    const int64_t size = sizes[static_cast<size_t>(rank)];
    if (size == 0) continue;
    if (me == rank) {
      const Message message{0, bytes_of(own)};
      everyone.exchange(stream, std::span(&message, 1), {});
    } else if (me == 0) {
      std::string text(static_cast<size_t>(size), ' ');
      const Message message{rank, bytes_of(text)};
      everyone.exchange(stream, {}, std::span(&message, 1));
      visit(rank, text);
    }
  }
}

}  // namespace

RecordWriter::RecordWriter(FileSystem& files, const Config& config, const RankPlace& place,
                           const StepPlan& plan, Communicator& everyone)
    : everyone_(everyone), recorder_(place, plan, everyone.rank(), config.data.seq_len) {
  if (everyone.rank() != 0) return;
  file_ = open_file(files, config.log.record);
  file_->append(to_line(run_header(config, place, plan)));
}

void RecordWriter::write() {
  Record step;
  std::string lines;
  for (const auto& [key, entry] : recorder_.take())
    if (file_)
      step.add(key, entry);
    else
      lines += to_line(key, entry);
  each_text(everyone_, std::move(lines), [&](int rank, const std::string& text) {
    parse_entries(text, "rank " + std::to_string(rank), step);
  });
  if (!file_) return;
  for (const auto& [key, entry] : step.entries) lines += to_line(key, entry);
  file_->append(lines);
}

}  // namespace strata
