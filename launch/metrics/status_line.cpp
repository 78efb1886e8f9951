// SPDX-License-Identifier: Apache-2.0
#include "launch/metrics/status_line.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <initializer_list>
#include <limits>
#include <ostream>
#include <vector>

#include "launch/metrics/humanize.h"

namespace strata {
namespace {

// One column per byte from here on: what else a name holds (control characters, UTF-8) is replaced.
std::string printable(std::string_view text) {
  std::string result(text);
  for (char& c : result)
    if (c < 0x20 || c > 0x7E) c = '?';
  return result;
}

struct Field {
  int rank;  // 0 stays longest when the terminal is narrow
  std::string text;
};

// The fields in their order, two blanks between. Fields go by rank, then the line is cut.
std::string fit(std::vector<Field> fields, size_t columns) {
  auto width = [&] {
    size_t sum = 0;
    for (const Field& field : fields) sum += field.text.size() + 2;
    return sum - 2;
  };
  while (fields.size() > 1 && width() > columns)
    fields.erase(std::max_element(fields.begin(), fields.end(),
                                  [](const Field& a, const Field& b) { return a.rank < b.rank; }));
  std::string line;
  for (const Field& field : fields) line += (line.empty() ? "" : "  ") + field.text;
  return line.substr(0, columns);
}

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

StatusOptions standard_output_options(int64_t every) {
  const char* kind = std::getenv("TERM");
  const bool dumb = kind == nullptr || std::string_view(kind) == "dumb";
  return {.terminal = ::isatty(STDOUT_FILENO) == 1 && !dumb, .every = every, .columns = [] {
            winsize size{};
            return ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? int{size.ws_col} : 0;
          }};
}

StatusLine::StatusLine(std::ostream& out, StatusOptions options)
    : out_(out), options_(std::move(options)), drawn_at_(-std::numeric_limits<double>::infinity()) {
  if (!options_.now) options_.now = steady_seconds;
  options_.every = std::max<int64_t>(options_.every, 1);
}

StatusLine::~StatusLine() { finish(); }

void StatusLine::step(const StepRecord& record) {
  const std::lock_guard lock(mutex_);
  const bool first = !last_;
  // Weighted so that the first steps count fully: sum of 0.9^age * seconds over the sum of the weights.
  mean_step_seconds_ = 0.9 * mean_step_seconds_ + 0.1 * record.step_seconds;
  mean_weight_ = 0.9 * mean_weight_ + 0.1;
  last_ = record;
  if (record.valid_loss) last_valid_loss_ = record.valid_loss;
  progress_.clear();
  pending_ = true;
  if (options_.terminal) {
    if (options_.now() - drawn_at_ >= options_.redraw_seconds) draw();
    return;
  }
  const bool notable = record.valid_loss || record.skipped || !std::isfinite(record.loss);
  if (first || notable || record.step % options_.every == 0) print_plain();
}

void StatusLine::progress(std::string_view phase, double fraction) {
  if (!options_.terminal) return;
  const std::lock_guard lock(mutex_);
  if (options_.now() - drawn_at_ < options_.redraw_seconds) return;
  const double percent = std::isfinite(fraction) ? std::clamp(100 * fraction, 0.0, 100.0) : 0.0;
  progress_ = fmt::format("{} {}%", printable(phase), static_cast<int>(percent));
  draw();
}

void StatusLine::interrupt() {
  const std::lock_guard lock(mutex_);
  if (!line_open_) return;
  out_ << '\n' << std::flush;
  line_open_ = false;
}

void StatusLine::finish() {
  const std::lock_guard lock(mutex_);
  progress_.clear();
  if (!options_.terminal) {
    if (pending_) print_plain();
    return;
  }
  if (last_ && (pending_ || line_open_)) draw();
  if (line_open_) out_ << '\n' << std::flush;
  line_open_ = false;
}

void StatusLine::draw() {
  const int asked = options_.columns ? options_.columns() : 0;
  // The last column stays free: a character there makes some terminals wrap.
  const size_t columns = static_cast<size_t>(asked > 0 ? asked : 80) - 1;
  out_ << '\r' << text(columns) << "\x1b[K" << std::flush;
  line_open_ = true;
  pending_ = false;
  drawn_at_ = options_.now();
}

void StatusLine::print_plain() {
  out_ << text(std::string::npos) << '\n' << std::flush;
  pending_ = false;
}

std::string StatusLine::text(size_t columns) const {
  std::vector<Field> fields;
  if (last_) {
    const StepRecord& r = *last_;
    const std::string total = r.steps_total > 0 ? fmt::format("/{}", r.steps_total) : "";
    fields.push_back({0, fmt::format("step {}{}", r.step, total)});
    fields.push_back({1, fmt::format("loss {:.4f}", r.loss)});
    if (last_valid_loss_) fields.push_back({4, fmt::format("valid {:.4f}", *last_valid_loss_)});
    if (r.skipped) fields.push_back({2, "skipped"});
    fields.push_back({7, fmt::format("grad {:.3g}", r.grad_norm)});
    fields.push_back({8, fmt::format("lr {:.2e}", r.lr)});
    fields.push_back({5, human_count(r.tokens_per_second()) + " tok/s"});
    if (r.mfu) fields.push_back({6, fmt::format("MFU {:.0f}%", 100 * *r.mfu)});
    if (r.steps_total > r.step) {
      const double left = static_cast<double>(r.steps_total - r.step) * mean_step_seconds_ / mean_weight_;
      fields.push_back({3, "ETA " + human_duration(left)});
    }
    // With the share of the step that computing stood still for moves from or to it.
    auto tier = [&](int rank, const char* name, const TierUse& use,
                    std::initializer_list<const char*> lanes) {
      if (use.bytes == 0) return;
      double waited_ms = 0;
      for (const char* lane : lanes)
        if (const auto at = r.waits_ms.find(lane); at != r.waits_ms.end()) waited_ms += at->second;
      const double share = r.step_seconds > 0 ? waited_ms / (10 * r.step_seconds) : 0;  // percent
      fields.push_back({rank, fmt::format("{} {}{}", name, human_bytes(use.bytes),
                                          share >= 0.5 ? fmt::format(" (wait {:.0f}%)", share) : "")});
    };
    tier(9, "device", r.memory.device, {});
    tier(10, "host", r.memory.host, {"h2d", "d2h"});
    tier(11, "nvme", r.memory.nvme, {"disk_read", "disk_write"});
    if (!r.phase.empty()) fields.push_back({12, printable(r.phase)});
  } else {
    fields.push_back({0, "first step"});  // of this process: a resumed run begins anywhere
  }
  if (!progress_.empty()) fields.push_back({2, progress_});
  return fit(std::move(fields), columns);
}

}  // namespace strata
