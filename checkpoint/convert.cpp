// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/convert.h"

#include <fmt/ranges.h>

#include <map>
#include <mutex>

#include "core/base/error.h"
#include "core/io/page_memory.h"

namespace strata {
namespace {

struct Piece {
  size_t tensor, number;
  Rect rect;
};

// What workers add to.
class Sums {
 public:
  Sums(size_t tensors, const BytesDone& done) : digests(tensors), done_(done) {}

  void add(size_t tensor, const Digest& digest, int64_t bytes) {
    const std::lock_guard lock(mutex_);
    digests[tensor] += digest;
    if (done_) done_(bytes);
  }

  std::vector<Digest> digests;

 private:
  std::mutex mutex_;
  const BytesDone& done_;
};

// A worker's memory, as large as its largest piece was.
class PieceMemory {
 public:
  std::span<std::byte> get(int64_t bytes) {
    if (bytes > bytes_) {
      memory_ = nullptr;  // not both at once
      memory_ = page_memory(bytes);
      bytes_ = bytes;
    }
    return {memory_.get(), static_cast<size_t>(bytes)};
  }

 private:
  PageMemory memory_;
  int64_t bytes_ = 0;
};

}  // namespace

Conversion convert_tensors(const TensorSource& source, TensorSink& sink, WorkerPool& pool,
                           const BytesDone& done) {
  const std::span<const TensorSpec> tensors = source.tensors();
  Conversion result;
  Sums sums(tensors.size(), done);
  std::vector<Piece> todo;
  for (size_t t = 0; t < tensors.size(); ++t) {
    std::vector<Rect> pieces = sink.pieces(t);
    for (size_t p = 0; p < pieces.size(); ++p) {
      const int64_t bytes = pieces[p].numel() * size_of(tensors[t].type);
      if (const auto kept = sink.kept(t, p)) {
        sums.add(t, *kept, bytes);
        result.kept_bytes += bytes;
      } else {
        todo.push_back({t, p, pieces[p]});
        result.bytes += bytes;
      }
    }
  }
  std::vector<PieceMemory> memory(static_cast<size_t>(pool.threads()));
  pool.for_each(std::ssize(todo), [&](int64_t i, int worker) {
    const Piece& piece = todo[static_cast<size_t>(i)];
    const TensorSpec& tensor = tensors[piece.tensor];
    const int64_t size = size_of(tensor.type);
    const auto bytes = memory[static_cast<size_t>(worker)].get(piece.rect.numel() * size);
    source.read(piece.tensor, piece.rect, row_major(bytes.data(), piece.rect.extent, size));
    const Digest digest = digest_of(tensor.shape, piece.rect, size, bytes.data());
    sink.write(piece.tensor, piece.rect, bytes);
    sums.add(piece.tensor, digest, std::ssize(bytes));
  });
  for (size_t t = 0; t < tensors.size(); ++t)
    if (const auto stored = source.stored_digest(t); stored && *stored != sums.digests[t])
      throw Error(Fault::model,
                  {.what = fmt::format("tensor '{}' is not what was once saved", tensors[t].name),
                   .where = source.path(),
                   .found = "digest " + to_string(sums.digests[t]),
                   .expected = to_string(*stored)});
  result.digests = std::move(sums.digests);
  return result;
}

std::vector<Digest> read_digests(const TensorSource& source, std::span<const size_t> tensors,
                                 int64_t piece_bytes, WorkerPool& pool, const BytesDone& done) {
  Sums sums(tensors.size(), done);
  std::vector<Piece> todo;
  for (size_t i = 0; i < tensors.size(); ++i)
    for (const Rect& rect : source.pieces(tensors[i], piece_bytes)) todo.push_back({i, 0, rect});
  std::vector<PieceMemory> memory(static_cast<size_t>(pool.threads()));
  pool.for_each(std::ssize(todo), [&](int64_t i, int worker) {
    const Piece& piece = todo[static_cast<size_t>(i)];
    const size_t t = tensors[piece.tensor];
    const TensorSpec& tensor = source.tensors()[t];
    const int64_t size = size_of(tensor.type);
    const auto bytes = memory[static_cast<size_t>(worker)].get(piece.rect.numel() * size);
    source.read(t, piece.rect, row_major(bytes.data(), piece.rect.extent, size));
    sums.add(piece.tensor, digest_of(tensor.shape, piece.rect, size, bytes.data()), std::ssize(bytes));
  });
  return std::move(sums.digests);
}

void check_written(const TensorSource& written, std::span<const TensorSpec> tensors,
                   std::span<const Digest> digests, int64_t piece_bytes, WorkerPool& pool,
                   const BytesDone& done) {
  std::map<std::pair<std::string, std::string>, size_t> known;
  for (size_t t = 0; t < written.tensors().size(); ++t)
    known.emplace(std::pair(written.tensors()[t].name, written.tensors()[t].state), t);
  std::vector<size_t> order;
  std::vector<std::string> faults;
  for (const TensorSpec& tensor : tensors) {
    const auto found = known.find({tensor.name, tensor.state});
    const bool same = found != known.end() && written.tensors()[found->second].shape == tensor.shape &&
                      written.tensors()[found->second].type == tensor.type;
    if (!same)
      faults.push_back(to_string(tensor) + " is not there");
    else
      order.push_back(found->second);
  }
  if (faults.empty()) {
    const std::vector<Digest> read = read_digests(written, order, piece_bytes, pool, done);
    for (size_t t = 0; t < tensors.size(); ++t)
      if (read[t] != digests[t])
        faults.push_back(fmt::format("{}: digest {}, written {}", to_string(tensors[t]), to_string(read[t]),
                                     to_string(digests[t])));
  }
  if (!faults.empty())
    throw Error(Fault::environment, {.what = "what was written does not read back as it was",
                                     .where = written.path(),
                                     .found = fmt::format("{}", fmt::join(faults, "\n            ")),
                                     .fix = "look at the disk and the memory of this machine; remove " +
                                            written.path() + " and convert again"});
}

}  // namespace strata
