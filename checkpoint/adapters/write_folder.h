// SPDX-License-Identifier: Apache-2.0
// A folder that is written over a long time and gets its name when it is whole: "<path>.partial" until then,
// with a journal of the pieces that are durable, so that a conversion which was cut off can go on.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "checkpoint/digest.h"
#include "core/io/file_system.h"

namespace strata {

class WriteFolder {
 public:
  // `path` must not be there (Error(usage)). Touches nothing yet. A power cut costs at most about
  // `sync_bytes` of what was written.
  WriteFolder(FileSystem& files, std::string path, int64_t sync_bytes);

  const std::string& final_path() const { return path_; }
  std::string path() const { return path_ + ".partial"; }

  // Makes the folder, or goes on with one that was left. `identity` says in full what is being written, from
  // what: with another one, what is there is removed. True when there is something to go on with.
  bool open(const std::string& identity);

  // By tensor and piece: the digest of what was there when open() found it.
  std::optional<Digest> kept(size_t tensor, size_t piece) const;
  // A piece of `bytes` was written. Now and then `sync` is called, which makes everything written so far
  // durable, and then the pieces are put down in the journal. From several threads.
  void wrote(size_t tensor, size_t piece, const Digest& digest, int64_t bytes,
             const std::function<void()>& sync);

  // A small file of the folder, durable on return but for its name. Error(usage) when `name` cannot be one.
  void write(const std::string& name, std::string_view content);

  // The caller has made all files durable: removes the journal and gives the folder its name, durably.
  void publish();
  // Removes everything.
  void discard();

 private:
  FileSystem& files_;
  std::string path_;
  int64_t sync_bytes_;
  std::map<std::pair<size_t, size_t>, Digest> kept_;
  std::mutex mutex_;  // guards what follows
  std::unique_ptr<File> journal_;
  int64_t journal_end_ = 0, pending_bytes_ = 0;
  std::string pending_;
};

}  // namespace strata
