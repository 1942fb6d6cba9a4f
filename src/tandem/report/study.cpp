#include "tandem/report/study.h"

#include <cmath>
#include <iomanip>
#include <sstream>

namespace tandem {
namespace {

// Three significant digits, or as many decimals as two.
std::string figure(double value, const std::string& unit) {
  std::ostringstream text;
  const double size = std::abs(value);
  text << std::fixed << std::setprecision(size >= 100 ? 1 : size >= 1 ? 2 : 4) << value;
  return unit.empty() ? text.str() : text.str() + " " + unit;
}

}  // namespace

void StudyReport::within(const std::string& what, double published, double here, double tolerance,
                         const std::string& unit) {
  claims_.push_back({what, figure(published, unit) + " ± " + figure(tolerance, ""),
                     figure(here, unit), std::abs(here - published) <= tolerance});
}

void StudyReport::within_share(const std::string& what, double published, double here, double share,
                               const std::string& unit) {
  within(what, published, here, std::abs(published) * share, unit);
}

void StudyReport::claim(const std::string& what, const std::string& published,
                        const std::string& here, bool holds) {
  claims_.push_back({what, published, here, holds});
}

std::vector<Study>& studies() {
  static std::vector<Study> all;
  return all;
}

}  // namespace tandem
