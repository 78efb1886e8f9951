// SPDX-License-Identifier: Apache-2.0
// The names of an in-memory file system: folders and files as running programs see them, and the changes that
// a power cut may still undo. Internal to core/io.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/io/memory_content.h"

namespace strata {

struct MemoryNode {
  MemoryNode(bool is_directory, int64_t block_bytes) : directory(is_directory), content(block_bytes) {}

  bool directory;
  MemoryContent content;                                             // of a file
  std::map<std::string, std::shared_ptr<MemoryNode>> names;          // of a folder
  std::map<std::string, std::shared_ptr<MemoryNode>> durable_names;  // what the disk has
};

class MemoryTree {
 public:
  using NodeRef = std::shared_ptr<MemoryNode>;

  explicit MemoryTree(int64_t block_bytes);

  // A place in a folder, whether or not something is there. `code` is ENOENT or ENOTDIR when the folder is
  // not.
  struct Place {
    NodeRef folder = nullptr;
    std::string name = {};   // empty: the root itself
    NodeRef node = nullptr;  // what is there, or null
    int code = 0;
  };
  Place find(const std::string& path) const;

  // These three make one change each: wholly durable or wholly undone.
  void put(const Place& place, NodeRef node);
  void remove(const Place& place);
  void move(const Place& from, const Place& to);

  // Makes the changes of this folder's names durable, with earlier ones they build on.
  void sync(const NodeRef& folder);
  // Keeps or undoes each change since, a change that builds on an undone one included; the same for all
  // contents.
  void lose_power(const MemoryContent::Survives& survives);

  // Whether `inner` is `outer` or lies beneath it.
  static bool holds(const NodeRef& outer, const NodeRef& inner);
  int64_t file_bytes() const;  // sum over all files that have a name

 private:
  struct Entry {
    NodeRef folder;
    std::string name;
    NodeRef node;  // null: removed
  };
  using Change = std::vector<Entry>;

  void apply(Change change);
  static void make_durable(const Change& change);

  NodeRef root_;
  std::vector<Change> pending_;  // oldest first
};

}  // namespace strata
