#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/report/figures.h"
#include "tandem/report/html.h"

namespace tandem {
namespace {

constexpr double kLeft = 74, kRight = 16, kTop = 14, kBottom = 34, kHeight = 260;
constexpr double kLeastStep = 26, kLeastWidth = 560;

// A round distance between about five marks up to `most` bytes: 1, 2 or 4 times a power of two.
std::int64_t mark_distance(std::int64_t most) {
  std::int64_t distance = 1;
  while (distance * 5 < most) distance *= 2;
  return distance;
}

}  // namespace

std::string memory_figure(const Plan& plan) {
  std::int64_t peak = 0, bound = 0;
  std::string memory;
  for (const Buffer& buffer : plan.buffers) {
    if (!in_arena(plan, buffer)) continue;
    peak = std::max(peak, buffer.offset + buffer.bytes);
    memory = buffer.memory;
  }
  if (peak == 0) return "";
  if (const auto found = plan.bound_bytes.find(memory); found != plan.bound_bytes.end())
    bound = found->second;

  const auto steps = static_cast<double>(std::max<std::size_t>(plan.steps.size(), 1));
  const double plot = std::max(kLeastWidth, steps * kLeastStep);
  const double width = kLeft + plot + kRight, height = kTop + kHeight + kBottom;
  const auto x_of = [&](double step) { return kLeft + step * plot / steps; };
  const auto y_of = [&](std::int64_t byte) {
    return kTop + kHeight * (1 - static_cast<double>(byte) / (1.05 * static_cast<double>(peak)));
  };
  const auto line = [&](std::int64_t byte, const std::string& css_class) {
    return concat("<path class=\"", css_class, "\" d=\"M", coordinate(kLeft), " ",
                  coordinate(y_of(byte)), " H", coordinate(kLeft + plot), "\"/>\n");
  };
  std::string content;
  for (std::int64_t byte = 0; byte <= peak; byte += mark_distance(peak)) {
    content += line(byte, "grid");
    content += svg_text({kLeft - 8, y_of(byte) + 4, "mark", readable_bytes(byte)});
  }
  std::size_t shade = 0;
  for (const Buffer& buffer : plan.buffers) {
    if (!in_arena(plan, buffer)) continue;
    const double left = x_of(static_cast<double>(buffer.first_step));
    const double right = x_of(static_cast<double>(buffer.last_step) + 1);
    const double top = y_of(buffer.offset + buffer.bytes), bottom = y_of(buffer.offset);
    content += svg_box({left + 0.5, top, right - left - 1, bottom - top,
                        concat("buffer shade", shade++ % 4),
                        concat(buffer.name, ": ", buffer.bytes, " bytes at ", buffer.offset,
                               ", steps ", buffer.first_step, " to ", buffer.last_step)});
    constexpr double kLetterWidth = 6.2, kLineHeight = 13;
    const auto letters = static_cast<double>(buffer.name.size());
    if (right - left > letters * kLetterWidth + 6 && bottom - top > kLineHeight)
      content += svg_text({(left + right) / 2, (top + bottom) / 2 + 4, "line", buffer.name});
  }
  if (bound > 0) content += line(bound, "bound");
  content += line(peak, "peak");
  const std::size_t every = plan.steps.size() / 20 + 1;
  for (std::size_t step = 0; step < plan.steps.size(); step += every) {
    content += svg_text(
        {x_of(static_cast<double>(step) + 0.5), kTop + kHeight + 16, "step", std::to_string(step)});
  }
  content += svg_text({kLeft + plot / 2, kTop + kHeight + 31, "step", "step"});
  return svg(width, height, "Memory over the steps", content);
}

}  // namespace tandem
