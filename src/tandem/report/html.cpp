#include "tandem/report/html.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "tandem/base/error.h"
#include "tandem/base/text.h"

namespace tandem {
namespace {

std::string printed(const char* format, double value) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), format, value);
  return text.data();
}

}  // namespace

std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&': result += "&amp;"; break;
      case '<': result += "&lt;"; break;
      case '>': result += "&gt;"; break;
      case '"': result += "&quot;"; break;
      default: result += c;
    }
  }
  return result;
}

std::string element(std::string_view tag, std::string_view attributes, std::string_view content) {
  return concat("<", tag, attributes.empty() ? "" : " ", attributes, ">", content, "</", tag,
                ">\n");
}

std::string html_table(const std::vector<std::string>& header,
                       const std::vector<std::vector<std::string>>& rows,
                       const std::vector<std::size_t>& numeric) {
  const auto line = [&](const std::vector<std::string>& cells, std::string_view tag) {
    std::string text;
    for (std::size_t c = 0; c < cells.size(); ++c) {
      const bool right = std::find(numeric.begin(), numeric.end(), c) != numeric.end();
      text += element(tag, right ? "class=\"number\"" : "", cells[c]);
    }
    return element("tr", "", text);
  };
  std::string body;
  for (const auto& row : rows) body += line(row, "td");
  return element("table", "",
                 element("thead", "", line(header, "th")) + element("tbody", "", body));
}

std::string bar(double share, std::string_view label) {
  const double percent = 100 * std::clamp(share, 0.0, 1.0);
  return concat("<div class=\"bar\"><div style=\"width:", coordinate(percent), "%\"></div><span>",
                escaped(label), "</span></div>");
}

std::string coordinate(double value) {
  std::string text = printed("%.1f", value);
  if (text.ends_with(".0")) text.resize(text.size() - 2);
  return text == "-0" ? "0" : text;
}

std::string readable_bytes(std::int64_t bytes) {
  constexpr std::int64_t kKibi = 1024;
  if (bytes < 10 * kKibi) return concat(grouped(bytes), " B");
  const double kibi = static_cast<double>(bytes) / static_cast<double>(kKibi);
  return kibi < 10 * static_cast<double>(kKibi)
             ? printed("%.0f KiB", kibi)
             : printed("%.1f MiB", kibi / static_cast<double>(kKibi));
}

std::string svg_text(const SvgText& text) {
  return concat("<text x=\"", coordinate(text.x), "\" y=\"", coordinate(text.y), "\" class=\"",
                text.css_class, "\">", escaped(text.text), "</text>\n");
}

std::string svg_box(const SvgBox& box) {
  return concat("<rect x=\"", coordinate(box.x), "\" y=\"", coordinate(box.y), "\" width=\"",
                coordinate(box.width), "\" height=\"", coordinate(box.height), "\" class=\"",
                box.css_class, "\">",
                box.tooltip.empty() ? "" : concat("<title>", escaped(box.tooltip), "</title>"),
                "</rect>\n");
}

std::string svg(double width, double height, std::string_view label, std::string_view content) {
  return concat("<svg viewBox=\"0 0 ", coordinate(width), " ", coordinate(height), "\" width=\"",
                coordinate(width), "\" height=\"", coordinate(height),
                "\" role=\"img\" aria-label=\"", escaped(label), "\">\n", content, "</svg>\n");
}

}  // namespace tandem
