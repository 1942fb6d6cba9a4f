#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tandem {

// Internal to the room: pieces of HTML and SVG as text.

// With &, <, > and quotes written as entities.
std::string escaped(std::string_view text);

// <tag attributes>content</tag>; the content is HTML already.
std::string element(std::string_view tag, std::string_view attributes, std::string_view content);

// A table. Cells are HTML already; columns listed in `numeric` are set to the right.
std::string html_table(const std::vector<std::string>& header,
                       const std::vector<std::vector<std::string>>& rows,
                       const std::vector<std::size_t>& numeric);

// A horizontal bar with `share` (0 to 1) of the width of its cell filled.
std::string bar(double share, std::string_view label);

// Coordinates with at most one decimal, the same on every machine.
std::string coordinate(double value);

// 131072 as "128 KiB".
std::string readable_bytes(std::int64_t bytes);

struct SvgText {
  double x = 0, y = 0;
  std::string css_class;  // of style.cpp
  std::string text;       // escaped here
};
std::string svg_text(const SvgText& text);

// A rectangle with a tooltip.
struct SvgBox {
  double x = 0, y = 0, width = 0, height = 0;
  std::string css_class;
  std::string tooltip;
};
std::string svg_box(const SvgBox& box);

std::string svg(double width, double height, std::string_view label, std::string_view content);

}  // namespace tandem
