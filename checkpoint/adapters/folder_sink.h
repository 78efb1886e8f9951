// SPDX-License-Identifier: Apache-2.0
// What sinks that make a folder have in common: pieces of rows, those that an earlier try left, and the
// folder's name once it is whole. A format says where a piece lies and what lies beside the tensors.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "checkpoint/logical.h"
#include "checkpoint/write_folder.h"

namespace strata {

class FolderSink : public TensorSink {
 public:
  // Without commit() what was written goes, but where it is kept for another try.
  ~FolderSink() override;

  std::vector<Rect> pieces(size_t tensor) const final;
  std::optional<Digest> kept(size_t tensor, size_t piece) const final;
  void write(size_t tensor, const Rect& piece, std::span<const std::byte> bytes) final;
  std::string finish() final;
  void commit() final;

 protected:
  struct Options {
    int64_t piece_bytes;   // of one write
    int64_t sync_bytes;    // that a power cut may cost
    bool keep_partial;     // without commit(): leave what was written, for another try
    std::string identity;  // what the tensors come from: another one starts anew
  };
  // `path` is the folder to make; it must not be there (Error(usage)). Until commit() everything lies in
  // "<path>.partial".
  FolderSink(FileSystem& files, std::string path, Options options);

  // First in declare().
  void take(std::vector<TensorSpec> tensors, std::vector<Asset> assets);
  // Makes the folder or goes on with one; true when there is something to go on with. `format` says what
  // decides the bytes beside the tensors and where they come from.
  bool open(const std::string& format);

  const std::vector<TensorSpec>& declared() const { return tensors_; }
  const std::vector<Asset>& assets() const { return assets_; }

  // Piece `number` of a tensor, whose size was checked. From several threads.
  virtual void store(size_t tensor, size_t number, const Rect& piece, std::span<const std::byte> bytes) = 0;
  // Makes all that store() wrote durable. From several threads, meanwhile.
  virtual void sync() = 0;
  // Every piece was stored: makes all durable, closes it, and writes what else the format has. The assets
  // follow.
  virtual void complete() = 0;

  FileSystem& files_;
  WriteFolder folder_;

 private:
  Options options_;
  std::vector<TensorSpec> tensors_;
  std::vector<Asset> assets_;
  std::atomic<int64_t> unwritten_{0};  // pieces
  bool opened_ = false, finished_ = false, committed_ = false;
};

// The element of a row-major tensor that a piece begins with.
int64_t first_element(const Rect& piece, const Shape& shape);

}  // namespace strata
