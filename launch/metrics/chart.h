// SPDX-License-Identifier: Apache-2.0
// One chart as a piece of HTML: the curves are an inline SVG stretched to its box, the labels are text beside
// it, so that letters keep their size from a phone to a wide screen. Colours and sizes come from the page's
// style sheet.
#pragma once

#include <string>
#include <vector>

#include "launch/metrics/curve.h"

namespace strata {

struct Series {
  enum class Look { faint, line, dotted_line };  // dotted_line: a line with its points marked

  std::string label;  // in the legend with the last value; empty: not listed
  std::string color;  // class of the style sheet: "c1" .. "c4"
  Look look = Look::line;
  Curve curve = {};
};

struct Chart {
  enum class Unit { number, count, bytes, percent };  // percent: values are fractions

  std::string title;
  Unit unit = Unit::number;
  bool from_zero = false;  // the axis begins at 0
  bool wide = false;       // takes the whole row of the page
  std::vector<Series> series = {};
};

// Lone far outliers would flatten everything else (outlier_limit): they are drawn at the upper edge, and the
// chart says how many they are and how high.
std::string to_html(const Chart& chart);

// Text safe inside HTML elements and attributes.
std::string escape_html(const std::string& text);

}  // namespace strata
