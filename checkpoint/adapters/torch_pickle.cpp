// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/torch_pickle.h"

#include <algorithm>
#include <set>

#include "core/base/error.h"

namespace strata {
namespace {

using Kind = PickleNode::Kind;

constexpr std::string_view kRebuild2 = "torch._utils._rebuild_tensor_v2",
                           kRebuild3 = "torch._utils._rebuild_tensor_v3";
constexpr int kDepth = 32;
constexpr size_t kValues = 10'000, kTensors = 50'000, kName = 512;
constexpr int64_t kVisits = 400'000;

class Finder {
 public:
  Finder(const Pickle& pickle, const std::string& where) : pickle_(pickle), where_(where) {}

  TorchContents run() {
    walk(pickle_.root, "", 0);
    return std::move(contents_);
  }

 private:
  [[noreturn]] void refuse(const std::string& name, std::string found) const {
    throw Error(Fault::model, {.what = fmt::format("'{}' is no tensor that can be read", name.substr(0, 200)),
                               .where = where_,
                               .found = std::move(found)});
  }

  const PickleNode* item(const PickleNode& node, size_t i) const {
    return i < node.items.size() ? &pickle_[node.items[i]] : nullptr;
  }
  bool calls(const PickleNode& node, std::string_view function) const {
    const PickleNode* const callable = node.kind == Kind::call ? item(node, 0) : nullptr;
    return callable && callable->kind == Kind::global && callable->text == function;
  }

  // Whether item `i`, which others follow, is one of the functions that make a plain tensor.
  bool is_rebuild(const PickleNode& node, size_t i) const {
    const PickleNode* const function =
        node.kind == Kind::call || node.kind == Kind::tuple ? item(node, i) : nullptr;
    return function && item(node, i + 1) && function->kind == Kind::global &&
           (function->text == kRebuild2 || function->text == kRebuild3);
  }

  void walk(uint32_t index, const std::string& name, int depth) {
    const PickleNode& node = pickle_[index];
    if (depth > kDepth) refuse(name, fmt::format("more than {} levels", kDepth));
    // A pickle may refer to one container from many places: the work is bounded, not only the depth.
    if (++visits_ > kVisits) refuse(name, "containers within containers without end");
    const auto below = [&](const std::string& key) { return name.empty() ? key : name + "." + key; };
    if (calls(node, "torch._utils._rebuild_parameter") ||
        calls(node, "torch._utils._rebuild_parameter_with_state")) {
      const PickleNode* const arguments = item(node, 1);
      if (!arguments || arguments->items.empty()) refuse(name, "a parameter without its tensor");
      return walk(arguments->items[0], name, depth + 1);
    }
    if (is_rebuild(node, 0)) return add_tensor(pickle_[node.items[0]].text, node.items[1], name);
    // A tensor with attributes: (_rebuild_tensor_v2, its class, its arguments, the attributes).
    if (calls(node, "torch._tensor._rebuild_from_type_v2")) {
      const PickleNode* const arguments = item(node, 1);
      if (!arguments || arguments->items.size() != 4 || !is_rebuild(*arguments, 0))
        refuse(name, to_string(pickle_, index));
      return add_tensor(pickle_[arguments->items[0]].text, arguments->items[2], name);
    }
    if (node.kind == Kind::dict) {
      for (size_t i = 0; i + 1 < node.items.size(); i += 2) {
        const PickleNode& key = pickle_[node.items[i]];
        walk(node.items[i + 1],
             below(key.kind == Kind::text ? key.text.substr(0, 512) : to_string(pickle_, node.items[i], 40)),
             depth + 1);
      }
      return;
    }
    if (node.kind == Kind::list || node.kind == Kind::tuple) {
      if (std::any_of(node.items.begin(), node.items.end(),
                      [&](uint32_t i) { return !pickle_[i].items.empty(); })) {
        for (size_t i = 0; i < node.items.size(); ++i)
          walk(node.items[i], below(std::to_string(i)), depth + 1);
        return;
      }
    }
    if (contents_.values.size() < kValues && name.size() <= kName)
      contents_.values.emplace_back(name, to_string(pickle_, index));
  }

  // (('storage', class, key, device, elements), first, size, stride, requires_grad, hooks[, dtype of v3])
  void add_tensor(const std::string& function, uint32_t with, const std::string& name) {
    const PickleNode* const arguments = &pickle_[with];
    const auto argument = [&](size_t i, Kind kind) -> const PickleNode& {
      const PickleNode* const found = arguments->kind == Kind::tuple ? item(*arguments, i) : nullptr;
      if (!found || found->kind != kind) refuse(name, to_string(pickle_, with));
      return *found;
    };
    const PickleNode& id = argument(0, Kind::persistent);
    const PickleNode* const storage = item(id, 0);
    if (!storage || storage->kind != Kind::tuple || storage->items.size() != 5) refuse(name, "no storage");
    const PickleNode &tag = *item(*storage, 0), &type = *item(*storage, 1), &key = *item(*storage, 2);
    if (tag.kind != Kind::text || tag.text != "storage" || type.kind != Kind::global ||
        key.kind != Kind::text)
      refuse(name, "no storage");
    TorchTensor tensor{.name = name, .storage = key.text, .first = argument(1, Kind::integer).integer};
    const PickleNode &size = argument(2, Kind::tuple), &stride = argument(3, Kind::tuple);
    const bool v3 = function == kRebuild3;
    const std::string& kind = v3 ? argument(6, Kind::global).text : type.text;
    const auto known = v3 ? element_type_of_torch(kind) : element_type_of_torch_storage(kind);
    if (!known) refuse(name, kind.substr(0, 80));
    tensor.type = *known;
    if (size.items.size() != stride.items.size() || size.items.size() > static_cast<size_t>(Shape::kMaxRank))
      refuse(name, fmt::format("{} dims", size.items.size()));
    for (size_t d = 0; d < size.items.size(); ++d) {
      const PickleNode &extent = *item(size, d), &step = *item(stride, d);
      constexpr int64_t kMost = int64_t{1} << 48;
      if (extent.kind != Kind::integer || step.kind != Kind::integer || extent.integer < 0 ||
          step.integer < 0 || extent.integer > kMost || step.integer > kMost)
        refuse(name, to_string(pickle_, with));
      tensor.shape.append(extent.integer);
      tensor.strides[d] = step.integer;
    }
    if (name.size() > kName || contents_.tensors.size() == kTensors)
      refuse(name,
             fmt::format("a name of {} bytes, {} tensors before it", name.size(), contents_.tensors.size()));
    if (!names_.insert(name).second) refuse(name, "another tensor of that name");
    contents_.tensors.push_back(std::move(tensor));
  }

  const Pickle& pickle_;
  const std::string& where_;
  TorchContents contents_;
  std::set<std::string> names_;
  int64_t visits_ = 0;
};

}  // namespace

TorchContents find_torch_tensors(const Pickle& pickle, const std::string& where) {
  return Finder(pickle, where).run();
}

}  // namespace strata
