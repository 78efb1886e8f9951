// SPDX-License-Identifier: Apache-2.0
// What a person watching the run sees: on a terminal one line rewritten in place, elsewhere a plain line
// every few steps.
//
//   step 120/300  loss 1.8342  grad 0.93  lr 3.00e-04  1.2k tok/s  MFU 41%  ETA 3m12s  host 512 MiB  backward
//   63%
#pragma once

#include <cstdint>
#include <functional>
#include <iosfwd>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "launch/metrics/step_record.h"

namespace strata {

struct StatusOptions {
  bool terminal = false;              // false: whole lines only, no control characters
  int64_t every = 10;                 // plain lines: one per this many steps
  double redraw_seconds = 0.1;        // terminal: least time between two drawings
  std::function<int()> columns = {};  // terminal: its width now; absent or <= 0: 80
  std::function<double()> now = {};   // seconds on a steady clock; absent: the system's
};

// For std::cout: asks the system whether it is a terminal that can rewrite a line, and how wide it is.
StatusOptions standard_output_options(int64_t every);

// Thread-safe: progress() may come from any thread, others from the trainer's.
class StatusLine {
 public:
  // `out` must outlive the status line, and nothing else may write to it while a line is shown: call
  // interrupt() before a message.
  StatusLine(std::ostream& out, StatusOptions options);
  ~StatusLine();  // finish()
  StatusLine(const StatusLine&) = delete;
  StatusLine& operator=(const StatusLine&) = delete;

  void step(const StepRecord& record);

  // Where the running step is: `phase` as the program names it, `fraction` of the whole step in 0..1. Cheap
  // when it is not time to draw; does nothing when the output is not a terminal.
  void progress(std::string_view phase, double fraction);

  // Leaves the line shown as it is and moves below it, so that a message starts in the first column.
  void interrupt();

  // Shows the last step's figures if they were not yet, and ends the line. May be called more than once.
  void finish();

 private:
  void draw();
  void print_plain();
  std::string text(size_t columns) const;

  std::ostream& out_;
  StatusOptions options_;
  std::mutex mutex_;
  std::optional<StepRecord> last_;
  std::optional<double> last_valid_loss_;
  double mean_step_seconds_ = 0;  // exponential mean over about ten steps
  double mean_weight_ = 0;
  std::string progress_;
  double drawn_at_;
  bool line_open_ = false;  // the cursor stands behind a drawn line
  bool pending_ = false;    // last_ has not been shown
};

}  // namespace strata
