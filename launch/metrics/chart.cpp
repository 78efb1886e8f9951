// SPDX-License-Identifier: Apache-2.0
#include "launch/metrics/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "launch/metrics/humanize.h"

namespace strata {
namespace {

constexpr double kBox = 1000;     // the SVG's own units, both ways
constexpr size_t kBuckets = 600;  // finer than a screen shows

// How the vertical axis writes its numbers: value / scale, with `suffix` once beside the title.
struct Scale {
  double divisor = 1;
  std::string suffix;
};

Scale scale_for(Chart::Unit unit, double high) {
  switch (unit) {
    case Chart::Unit::percent:
      return {0.01, "%"};
    case Chart::Unit::bytes: {
      Scale scale{1, "bytes"};
      for (const char* name : {"KiB", "MiB", "GiB", "TiB", "PiB"}) {
        if (high < 2 * scale.divisor * 1024) break;
        scale = {scale.divisor * 1024, name};
      }
      return scale;
    }
    case Chart::Unit::count:
      return {};
    case Chart::Unit::number: {
      if (high <= 0 || high >= 0.01) return {};
      const int exponent = static_cast<int>(std::floor(std::log10(high)));
      return {std::pow(10.0, exponent), fmt::format("&times;10<sup>&minus;{}</sup>", -exponent)};
    }
  }
  return {};
}

struct Range {
  double low = 0, high = 1;
  size_t cut = 0;      // points above `high`
  double highest = 0;  // of them
};

Range range_of(const Chart& chart) {
  std::vector<double> values;
  for (const Series& series : chart.series)
    for (const CurvePoint& p : series.curve)
      if (std::isfinite(p.y)) values.push_back(p.y);
  if (values.empty()) return {};
  const auto [lowest, highest] = std::minmax_element(values.begin(), values.end());
  Range range{.low = *lowest, .high = *highest};
  const double limit = outlier_limit(values);
  if (range.high > limit) {
    range.highest = range.high;
    range.high = limit;
    range.cut = static_cast<size_t>(
        std::count_if(values.begin(), values.end(), [&](double value) { return value > limit; }));
  }
  if (chart.from_zero) range.low = std::min(range.low, 0.0);
  return range;
}

// All labels of an axis in one unit, with as many decimals as tell a tick from its neighbours.
std::vector<std::string> tick_labels(const Ticks& ticks) {
  const double largest = std::max(std::abs(ticks.first), std::abs(ticks.last()));
  double unit = 1;
  const char* suffix = "";
  for (const char* name : {"k", "M", "B", "T"}) {
    if (largest < 10'000 * unit) break;
    unit *= 1000;
    suffix = name;
  }
  const int decimals = std::clamp(static_cast<int>(std::ceil(-std::log10(ticks.step / unit) - 1e-9)), 0, 9);
  std::vector<std::string> labels;
  for (int i = 0; i < ticks.count; ++i) {
    const double value = ticks.at(i);
    // Zero without sign, unit and the rounding error of first + i * step.
    const bool zero = std::abs(value) < ticks.step * 1e-6;
    labels.push_back(zero ? "0" : fmt::format("{:.{}f}{}", value / unit, decimals, suffix));
  }
  return labels;
}

std::string value_label(double value, Chart::Unit unit) {
  switch (unit) {
    case Chart::Unit::bytes:
      return human_bytes(static_cast<int64_t>(value));
    case Chart::Unit::count:
      return human_count(value);
    case Chart::Unit::percent:
      return fmt::format("{:.1f}%", 100 * value);
    case Chart::Unit::number:
      return fmt::format("{:#.4g}", value);
  }
  return {};
}

class Axes {
 public:
  Axes(const Ticks& x, double x_low, double x_high, const Ticks& y) : x_low_(x_low), x_high_(x_high), y_(y) {
    if (!(x_high_ > x_low_)) x_low_ = x.first, x_high_ = x.last();
  }
  double x(double value) const { return kBox * (value - x_low_) / (x_high_ - x_low_); }
  // Values above the axis run along its upper edge.
  double y(double value) const {
    return kBox * (1 - std::min((value - y_.first) / (y_.last() - y_.first), 1.0));
  }

 private:
  double x_low_, x_high_;
  Ticks y_;
};

// "M x y L x y ...", a new M after each gap. A point without neighbours becomes a line of no length, which
// round caps draw as a dot; dots_only makes every point one.
std::string path_data(const Curve& curve, const Axes& map, double y_scale, bool dots_only) {
  std::string data;
  bool pen_down = false;
  for (const CurvePoint& p : curve) {
    if (!std::isfinite(p.y)) {
      pen_down = false;
      continue;
    }
    const double x = map.x(p.x), y = map.y(p.y / y_scale);
    if (pen_down && !dots_only)
      data += fmt::format("L{:.1f} {:.1f}", x, y);
    else
      data += fmt::format("M{:.1f} {:.1f}h0", x, y);
    pen_down = true;
  }
  return data;
}

double last_finite(const Curve& curve) {
  for (size_t i = curve.size(); i-- > 0;)
    if (std::isfinite(curve[i].y)) return curve[i].y;
  return std::nan("");
}

}  // namespace

std::string escape_html(const std::string& text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

std::string to_html(const Chart& chart) {
  double x_low = HUGE_VAL, x_high = -HUGE_VAL;
  for (const Series& series : chart.series) {
    if (series.curve.empty()) continue;
    x_low = std::min(x_low, series.curve.front().x);
    x_high = std::max(x_high, series.curve.back().x);
  }
  if (x_low > x_high) x_low = 0, x_high = 1;
  const Range range = range_of(chart);
  const Scale scale = scale_for(chart.unit, range.high);
  const Ticks x_ticks = nice_ticks(x_low, x_high, 6);
  const Ticks y_ticks = nice_ticks(range.low / scale.divisor, range.high / scale.divisor, 5);
  const Axes map(x_ticks, x_low, x_high, y_ticks);

  const auto x_labels = tick_labels(x_ticks), y_labels = tick_labels(y_ticks);

  std::string legend, grid, labels, curves;
  for (const Series& series : chart.series) {
    const Curve thin = thinned(series.curve, kBuckets);
    auto path = [&](const char* look, bool dots_only) {
      curves += fmt::format("<path class=\"{} {}\" d=\"{}\"/>\n", series.color, look,
                            path_data(thin, map, scale.divisor, dots_only));
    };
    path(series.look == Series::Look::faint ? "faint" : "line", false);
    if (series.look == Series::Look::dotted_line) path("dot", true);
    if (series.label.empty()) continue;
    legend += fmt::format("<span class=\"{}\"><i></i>{} <b>{}</b></span>", series.color,
                          escape_html(series.label), value_label(last_finite(series.curve), chart.unit));
  }
  for (int i = 0; i < y_ticks.count; ++i) {
    const double y = map.y(y_ticks.at(i));
    grid += fmt::format("<path class=\"grid\" d=\"M0 {0:.1f}H{1}\"/>", y, kBox);
    labels += fmt::format("<span class=\"y\" style=\"top:{:.2f}%\">{}</span>", y / kBox * 100, y_labels[i]);
  }
  for (int i = 0; i < x_ticks.count; ++i) {
    const double x = map.x(x_ticks.at(i));
    if (x < -1e-6 || x > kBox + 1e-6) continue;  // the horizontal axis ends with the data, not with a tick
    grid += fmt::format("<path class=\"grid\" d=\"M{0:.1f} 0V{1}\"/>", x, kBox);
    labels += fmt::format("<span class=\"x\" style=\"left:{:.2f}%\">{}</span>", x / kBox * 100, x_labels[i]);
  }
  std::string note;
  if (range.cut > 0)
    note = fmt::format("<p class=\"note\">{} point{} above the range, the highest {}</p>", range.cut,
                       range.cut == 1 ? "" : "s", value_label(range.highest, chart.unit));
  return fmt::format(
      "<figure{}>\n<figcaption>{}<small>{}</small><div class=\"legend\">{}</div></figcaption>\n"
      "<div class=\"plot\"><svg viewBox=\"0 0 {} {}\" preserveAspectRatio=\"none\" role=\"img\" "
      "aria-label=\"{}\">\n{}\n{}</svg>{}</div>\n{}</figure>\n",
      chart.wide ? " class=\"wide\"" : "", escape_html(chart.title), scale.suffix, legend, kBox, kBox,
      escape_html(chart.title), grid, curves, labels, note);
}

}  // namespace strata
