// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "launch/bisect/bisect.h"

namespace strata {
namespace {

// "layer 2 (block 3)".
std::string block_text(const RunHeader& header, int block) {
  const bool known = block >= 0 && block < static_cast<int>(header.blocks.size());
  return known ? fmt::format("{} (block {})", header.blocks[static_cast<size_t>(block)], block)
               : fmt::format("block {}", block);
}

// What it is and where in the step it comes about.
std::string place_text(const RecordKey& key, const RunHeader& header) {
  const std::string block = block_text(header, key.block);
  const std::string sequence = fmt::format("sequence {}", key.sequence);
  switch (key.quantity) {
    case Quantity::token:
    case Quantity::target:
    case Quantity::position:
      return fmt::format("batch, {}: {}s", sequence, name(key.quantity));
    case Quantity::received_input:
      return fmt::format("receive, {}: the input x of {} as it came from the stage before", sequence, block);
    case Quantity::weight_used:
      return fmt::format("forward of {}: weight {} as the block reads it", block, key.tensor);
    case Quantity::output:
      return fmt::format("forward of {}, {}: its output x", block, sequence);
    case Quantity::loss:
      return "loss of the step";
    case Quantity::received_gradient:
      return fmt::format("receive, {}: the gradient of {}'s output as it came from the stage behind",
                         sequence, block);
    case Quantity::input_gradient:
      return fmt::format("backward of {}, {}: the gradient dx of its input", block, sequence);
    case Quantity::gradient:
      return fmt::format("gradient of {}, {}", key.tensor, block);
    case Quantity::gradient_norm:
      return "gradient norm";
    case Quantity::clip_coefficient:
      return "clip: the coefficient of the gradient (0: the step is skipped)";
    case Quantity::weight:
      return fmt::format("update of {}: weight {}", block, key.tensor);
    case Quantity::state:
      return fmt::format("update of {}: optimizer state {}", block, key.tensor);
  }
  return "";
}

// What went into it, which agrees: it comes before it in the order of the comparison.
std::string inputs_text(const RecordKey& key, const RunHeader& header) {
  const int b = key.block;
  const bool head = b + 1 == static_cast<int>(header.blocks.size());
  switch (key.quantity) {
    case Quantity::token:
    case Quantity::target:
    case Quantity::position:
      return "everything of the steps before";
    case Quantity::received_input:
      return fmt::format("what forward of {} made", block_text(header, b - 1));
    case Quantity::weight_used:
      return key.step > 1 ? "the weights that the step before left, and the blocks before"
                          : "the blocks before; initial weights come from run.seed";
    case Quantity::output:
      return b == 0 ? "tokens, and the block's weights"
                    : fmt::format("its input, made by forward of {}, and its weights",
                                  block_text(header, b - 1));
    case Quantity::loss:
      return "every block's output";
    case Quantity::received_gradient:
      return fmt::format("what backward of {} made", block_text(header, b + 1));
    case Quantity::input_gradient:
      return head ? "every block's output, and the loss"
                  : fmt::format("its output's gradient, made by backward of {}, and its input and weights",
                                block_text(header, b + 1));
    case Quantity::gradient:
      return "every block's output and its gradient, so backward_weight, or a sum over micro-batches or "
             "ranks";
    case Quantity::gradient_norm:
      return "every gradient";
    case Quantity::clip_coefficient:
      return "gradient norm";
    case Quantity::weight:
    case Quantity::state:
      return "its gradient, the clip coefficient, and the weight before";
  }
  return "";
}

std::string names(const std::vector<int>& ranks, const RunHeader& header) {
  std::vector<std::string> names;
  for (const int rank : ranks)
    names.push_back(static_cast<size_t>(rank) < header.ranks.size() ? header.ranks[static_cast<size_t>(rank)]
                                                                    : fmt::format("rank {}", rank));
  return fmt::format("{}", fmt::join(names, ", "));
}

std::string extent_text(const Summary& s) {
  std::string text = s.count > s.non_finite
                         ? fmt::format("norm {:.6g}, in [{:.6g}, {:.6g}]", s.norm(), s.min, s.max)
                         : "nothing finite";
  if (s.non_finite > 0) text += fmt::format(", {} of {} NaN or Inf", s.non_finite, s.count);
  return text;
}

// "2.1e-3 relative".
std::string size_text(double distance, double norm) {
  if (distance == 0) return "not measurably: the bits alone";
  return norm > 0 ? fmt::format("{:.2g} relative", distance / norm) : fmt::format("{:.2g}, from 0", distance);
}

std::string how_text(const Difference& d) {
  const char side = d.side == Side::a ? 'A' : 'B';
  switch (d.kind) {
    case Difference::Kind::values:
      return "A and B differ";
    case Difference::Kind::copies:
      return fmt::format("the copies that ranks of {} hold differ", side);
    case Difference::Kind::changed:
      return fmt::format("{} uses other weights than the step before left", side);
    case Difference::Kind::missing:
      return fmt::format("{} has none", side);
    case Difference::Kind::partial:
      return fmt::format("the ranks of {} hold only some of its elements", side);
  }
  return "";
}

std::string line(std::string_view head, const std::string& text) {
  return fmt::format("  {:<12}{}\n", head, text);
}

}  // namespace

std::string to_text(const Bisection& bisection) {
  const Comparison& c = bisection.comparison;
  std::string text;
  const auto side = [&](char letter, const RunHeader& h) {
    text += fmt::format("{} {}: {}, {}, {}{}\n", letter, h.name, h.layout, h.batch, h.compute,
                        h.ordered ? ", ordered" : "");
  };
  side('A', bisection.a);
  side('B', bisection.b);
  const std::string measure =
      bisection.tolerance == 0 ? "to the bit" : fmt::format("within {:g} relative", bisection.tolerance);
  std::string left_out = "partial sums inside a rank's step have no counterpart";
  if (!c.left_out.empty()) left_out += fmt::format("; {}", fmt::join(c.left_out, ", "));
  if (!c.first) {
    text += fmt::format("equal: {} values of {} step{} agree {}\n", c.compared, c.steps,
                        c.steps == 1 ? "" : "s", measure);
    if (c.closest > 0)
      text += line("closest", fmt::format("{:.2g} of what is allowed: step {}, {}", c.closest,
                                          c.closest_key.step, place_text(c.closest_key, bisection.a)));
    return text + line("left out", left_out);
  }
  const Difference& d = *c.first;
  const RunHeader& own = d.side == Side::a ? bisection.a : bisection.b;
  text += fmt::format("first difference: step {}, {}\n", d.key.step, place_text(d.key, own));
  const double norm = d.kind == Difference::Kind::values ? std::max(d.a.norm(), d.b.norm()) : d.a.norm();
  const auto& close = bisection.close;
  std::string how = how_text(d);
  if (close)
    how += fmt::format(", by {} (compared {})", size_text(close->distance, close->norm), measure);
  else if (d.kind != Difference::Kind::missing && d.kind != Difference::Kind::partial)
    how += fmt::format(", by about {} (compared {})", size_text(d.distance, norm), measure);
  text += line("what", how);
  if (close && close->differ > 0)
    text += line(
        "where",
        fmt::format("{} of {} elements; farthest at row {}, column {}: {:.9g} in A, {:.9g} in B",
                    close->differ, close->elements, close->index / static_cast<uint64_t>(bisection.width),
                    close->index % static_cast<uint64_t>(bisection.width), close->a, close->b));
  if (d.kind == Difference::Kind::copies)
    text += line("copies", fmt::format("{}; {}", extent_text(d.a), extent_text(d.b)));
  else if (d.kind != Difference::Kind::missing)
    text += line("sizes", fmt::format("{}: {}; {}: {}", d.kind == Difference::Kind::changed ? "before" : "A",
                                      extent_text(d.a), d.kind == Difference::Kind::changed ? "now" : "B",
                                      extent_text(d.b)));
  const bool looked = close && !close->ranks.empty();
  const std::vector<int>& ranks = looked ? close->ranks : d.ranks;
  const std::string& action = looked ? close->action : d.action;
  if (!ranks.empty()) {
    const std::string letter = d.side == Side::a ? "A" : "B";
    text += line("ranks",
                 fmt::format("{}{} of {}", looked || d.certain ? "" : "among ", names(ranks, own), letter));
  }
  if (!action.empty()) text += line("action", fmt::format("`{}`", action));
  if (d.of > 1) text += line("beside it", fmt::format("{} of {} such values differ", d.differ, d.of));
  text += line("agrees", inputs_text(d.key, own));
  text += line("left out", left_out);
  if (close && !close->repeats)
    text += line("note", "a second run of the same did not repeat its bits: something depends on timing");
  return text;
}

}  // namespace strata
