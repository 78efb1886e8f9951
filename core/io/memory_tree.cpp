// SPDX-License-Identifier: Apache-2.0
#include "core/io/memory_tree.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <functional>
#include <set>
#include <utility>

namespace strata {
namespace {

using NodeRef = MemoryTree::NodeRef;

void set_name(std::map<std::string, NodeRef>& names, const std::string& name, const NodeRef& node) {
  if (node)
    names[name] = node;
  else
    names.erase(name);
}

// Every file and folder reachable by `names`, each once; `body` comes before its children and may change the
// names.
void visit(const NodeRef& node, std::set<const MemoryNode*>& seen,
           const std::function<void(MemoryNode&)>& body) {
  if (!seen.insert(node.get()).second) return;
  body(*node);
  for (const auto& [name, child] : node->names) visit(child, seen, body);
}

}  // namespace

MemoryTree::MemoryTree(int64_t block_bytes) : root_(std::make_shared<MemoryNode>(true, block_bytes)) {}

MemoryTree::Place MemoryTree::find(const std::string& path) const {
  Place place = {.folder = nullptr, .name = "", .node = root_};
  for (const std::filesystem::path& part :
       std::filesystem::path("/" + path).lexically_normal().relative_path()) {
    if (part.empty()) continue;  // after a trailing slash
    if (!place.node || !place.node->directory) return {.code = place.node ? ENOTDIR : ENOENT};
    place.folder = place.node;
    place.name = part.string();
    const auto child = place.folder->names.find(place.name);
    place.node = child == place.folder->names.end() ? nullptr : child->second;
  }
  return place;
}

void MemoryTree::apply(Change change) {
  for (const Entry& entry : change) set_name(entry.folder->names, entry.name, entry.node);
  pending_.push_back(std::move(change));
}

void MemoryTree::make_durable(const Change& change) {
  for (const Entry& entry : change) set_name(entry.folder->durable_names, entry.name, entry.node);
}

void MemoryTree::put(const Place& place, NodeRef node) {
  apply({{place.folder, place.name, std::move(node)}});
}
void MemoryTree::remove(const Place& place) { apply({{place.folder, place.name, nullptr}}); }
void MemoryTree::move(const Place& from, const Place& to) {
  apply({{from.folder, from.name, nullptr}, {to.folder, to.name, from.node}});
}

void MemoryTree::sync(const NodeRef& folder) {
  std::set<std::pair<const MemoryNode*, std::string>> wanted;
  std::vector<char> chosen(pending_.size());
  for (size_t i = pending_.size(); i-- > 0;) {
    const bool take = std::any_of(pending_[i].begin(), pending_[i].end(), [&](const Entry& entry) {
      return entry.folder == folder || wanted.contains({entry.folder.get(), entry.name});
    });
    if (!take) continue;
    chosen[i] = 1;
    for (const Entry& entry : pending_[i]) wanted.emplace(entry.folder.get(), entry.name);
  }
  std::vector<Change> left;
  for (size_t i = 0; i < pending_.size(); ++i) {
    if (chosen[i])
      make_durable(pending_[i]);
    else
      left.push_back(std::move(pending_[i]));
  }
  pending_ = std::move(left);
}

void MemoryTree::lose_power(const MemoryContent::Survives& survives) {
  std::set<std::pair<const MemoryNode*, std::string>> undone;
  for (const Change& change : pending_) {
    const bool stands = std::none_of(change.begin(), change.end(), [&](const Entry& entry) {
      return undone.contains({entry.folder.get(), entry.name});
    });
    if (stands && survives())
      make_durable(change);
    else
      for (const Entry& entry : change) undone.emplace(entry.folder.get(), entry.name);
  }
  pending_.clear();
  std::set<const MemoryNode*> seen;
  visit(root_, seen, [&](MemoryNode& node) {
    node.names = node.durable_names;
    node.content.lose_power(survives);
  });
}

bool MemoryTree::holds(const NodeRef& outer, const NodeRef& inner) {
  std::set<const MemoryNode*> seen;
  visit(outer, seen, [](MemoryNode&) {});
  return seen.contains(inner.get());
}

int64_t MemoryTree::file_bytes() const {
  int64_t bytes = 0;
  std::set<const MemoryNode*> seen;
  visit(root_, seen, [&](MemoryNode& node) { bytes += node.content.size(); });
  return bytes;
}

}  // namespace strata
