// SPDX-License-Identifier: Apache-2.0
// A run as a table of summaries, keyed by what a value means and not by where it lies: records of different
// layouts have the same keys. Per-rank partial sums have no meaning outside their layout and are not in it;
// gradients are, as soon as they are whole.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "launch/bisect/summary.h"

namespace strata {

// In the order in which a step uses them.
enum class Quantity : uint8_t {
  token,              // a batch's, of one sequence
  target,             //
  position,           //
  received_input,     // of a block, from the rank that has the block before
  weight_used,        // a tensor of a block, when its forward first reads it
  output,             // of a block's forward
  loss,               // sum over the step's tokens
  received_gradient,  // of a block's output, from the rank that has the block behind
  input_gradient,     // of a block, from its backward
  gradient,           // of a parameter, summed over everything, unclipped
  gradient_norm,      //
  clip_coefficient,   //
  weight,             // behind the update
  state,              // the same; the tensor is "NAME/SLOT"
};
inline constexpr int kNumQuantities = 14;
std::string_view name(Quantity quantity);  // "output", "input gradient"
std::optional<Quantity> quantity_named(std::string_view name);

struct RecordKey {
  int64_t step = 0;  // the first is 1
  Quantity quantity = Quantity::token;
  int block = -1;         // whose; -1: the step's
  int64_t sequence = -1;  // of the step, over all ranks; -1: of all
  std::string tensor;     // logical name of a parameter

  friend bool operator==(const RecordKey&, const RecordKey&) = default;
  // The order of causes: step, batch, forwards by block, loss, backwards from the last block, gradients,
  // norm, update. Of what stands side by side, by sequence and name.
  friend bool operator<(const RecordKey& a, const RecordKey& b);
};

// What several ranks hold of a value. Ranks with the same elements and bits share one.
struct RecordPart {
  std::vector<int> ranks;
  std::string action;  // of the first rank, as its program prints it; empty outside the program
  Summary summary;
};

struct RecordEntry {
  int64_t count = 0;     // elements of the whole
  int64_t width = 1;     // of the whole, in a row
  bool integer = false;  // nearness means nothing
  std::vector<RecordPart> parts;

  void add(RecordPart part);
  // Of each set of elements the first copy.
  Summary whole() const;
  // The first part with the elements of `part` and other bits; null: copies are alike.
  const RecordPart* other_copy(const RecordPart& part) const;
};

// Whose record it is.
struct RunHeader {
  std::string name;                 // of the run
  std::string layout;               // "pp 1 x dp 2 x cp 1 x tp 1, partition 1/1/2": where sums are cut
  std::string batch;                // "4 micro-batches of 2 x 16"
  bool ordered = false;             // bits do not depend on the layout
  std::string compute;              // "f32", "bf16"
  std::string isa;                  // instruction set
  std::vector<std::string> blocks;  // names
  std::vector<std::string> ranks;   // "rank 3 (pp 1, tp 1)"
};

struct Record {
  RunHeader header;
  std::map<RecordKey, RecordEntry> entries;

  void add(const RecordKey& key, const RecordEntry& entry);  // parts of another rank
};

// As JSON: one object a line.
std::string to_line(const RunHeader& header);
std::string to_line(const RecordKey& key, const RecordEntry& entry);
// The inverse; lines of other ranks add up. `where` names the text in messages. Throws Error(usage) for what
// is no record; a last line that was cut off is left out.
Record parse_record(std::string_view text, const std::string& where);
void parse_entries(std::string_view lines, const std::string& where, Record& record);
bool is_record(std::string_view text);  // by its beginning

}  // namespace strata
