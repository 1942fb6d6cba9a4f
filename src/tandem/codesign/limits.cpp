#include "tandem/codesign/limits.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "tandem/base/error.h"
#include "tandem/base/text.h"

namespace tandem {
namespace {

struct ObjectiveName {
  Objective objective;
  std::string_view name, measure;
};
constexpr std::array<ObjectiveName, 5> kObjectives = {{
    {Objective::kLatency, "latency", "latency_seconds"},
    {Objective::kEnergy, "energy", "energy_joules"},
    {Objective::kSram, "sram", "sram_bytes"},
    {Objective::kFlash, "flash", "flash_bytes"},
    {Objective::kArea, "area", "luts"},
}};

const ObjectiveName& entry_of(Objective objective) {
  const auto found = std::find_if(kObjectives.begin(), kObjectives.end(),
                                  [&](const auto& entry) { return entry.objective == objective; });
  ensure(found != kObjectives.end(), "unknown objective");
  return *found;
}

// What may stand behind a number, and the factor it means.
struct Suffix {
  std::string_view measure_end, text;
  double factor;
};
constexpr std::array<Suffix, 18> kSuffixes = {{
    {"_bytes", "MiB", 1048576},
    {"_bytes", "KiB", 1024},
    {"_bytes", "MB", 1e6},
    {"_bytes", "kB", 1e3},
    {"_bytes", "KB", 1e3},
    {"_bytes", "B", 1},
    {"_bytes", "M", 1048576},
    {"_bytes", "K", 1024},
    {"_seconds", "ms", 1e-3},
    {"_seconds", "us", 1e-6},
    {"_seconds", "s", 1},
    {"_joules", "mJ", 1e-3},
    {"_joules", "uJ", 1e-6},
    {"_joules", "nJ", 1e-9},
    {"_joules", "J", 1},
    {"_drop", "%", 0.01},
    {"_second", "/s", 1},
    {"luts", "k", 1000},
}};

}  // namespace

std::string_view name(Objective objective) { return entry_of(objective).name; }
std::string_view measure_of(Objective objective) { return entry_of(objective).measure; }

Objective parse_objective(std::string_view text) {
  std::vector<std::string> names;
  for (const ObjectiveName& entry : kObjectives) {
    if (entry.name == text) return entry.objective;
    names.emplace_back(entry.name);
  }
  throw Error("cannot minimise '", text, "'", suggestion(text, names));
}

double Limit::excess(double value) const {
  const bool met = at_least ? value >= bound : value <= bound;
  if (met) return 0;
  if (bound == 0) return 1 + std::abs(value);
  return at_least ? bound / std::max(value, 1e-300) - 1 : value / bound - 1;
}

std::int64_t Limit::missing_bytes(double value) const {
  if (!measure.ends_with("_bytes") || at_least || excess(value) == 0) return 0;
  return static_cast<std::int64_t>(std::ceil(value - bound));
}

std::string Limit::missing(double value) const {
  const std::int64_t bytes = missing_bytes(value);
  if (bytes == 0) return "";
  return concat(grouped(bytes), bytes == 1 ? " byte is missing" : " bytes are missing");
}

std::string Limit::text(double value) const {
  // Rounded so that the text still admits the value.
  if (measure.ends_with("_drop")) return shortest(std::ceil(value * 1e6 - 1e-7) / 1e4 + 0.0) + "%";
  if (measure.ends_with("_seconds")) return shortest(value) + "s";
  if (measure.ends_with("_joules")) return shortest(value) + "J";
  if (measure.ends_with("_second")) return shortest(value) + "/s";
  return shortest(at_least ? std::floor(value) : std::ceil(value));
}

const std::vector<LimitOption>& limit_options() {
  static const std::vector<LimitOption> kOptions = {
      {"--max-accuracy-drop", "SHARE", "accuracy_drop",
       "Most accuracy lost against the network as read, measured on training data", false},
      {"--max-latency", "TIME", "latency_seconds", "Longest time of one inference", false},
      {"--min-rate", "RATE", "rate_per_second", "Least inferences per second", true},
      {"--max-energy", "ENERGY", "energy_joules", "Most energy of one inference", false},
      {"--max-flash", "BYTES", "flash_bytes", "Most flash for code, weights and tables", false},
      {"--max-sram", "BYTES", "sram_bytes", "Most SRAM for the arena and buffers", false},
      {"--max-lut", "COUNT", "luts", "Most look-up tables", false},
      {"--max-ff", "COUNT", "flip_flops", "Most flip-flops", false},
      {"--max-bram", "COUNT", "brams", "Most block RAMs", false},
      {"--max-dsp", "COUNT", "dsps", "Most DSP blocks", false},
  };
  return kOptions;
}

Limit parse_limit(const LimitOption& option, std::string_view text) {
  std::string_view number = trim(text);
  double factor = 1;
  for (const Suffix& suffix : kSuffixes) {
    if (!option.measure.ends_with(suffix.measure_end) || !number.ends_with(suffix.text)) continue;
    number.remove_suffix(suffix.text.size());
    factor = suffix.factor;
    break;
  }
  Limit limit{option.option, option.measure, option.at_least,
              parse_real(trim(number), option.option) * factor};
  if (!std::isfinite(limit.bound) || limit.bound < 0)
    throw Error(option.option, " must not be negative, not '", text, "'");
  return limit;
}

double worst_excess(const std::vector<Limit>& limits, const Measures& measures) {
  double worst = 0;
  for (const Limit& limit : limits) {
    const auto found = measures.find(limit.measure);
    ensure(found != measures.end(), "a limit on a measure that is not known");
    worst = std::max(worst, limit.excess(found->second));
  }
  return worst;
}

void check_measures(Objective objective, const std::vector<Limit>& limits, const Measures& known,
                    std::string_view device) {
  if (!known.contains(std::string(measure_of(objective)))) {
    std::vector<std::string> names;
    for (const ObjectiveName& entry : kObjectives)
      if (known.contains(std::string(entry.measure))) names.emplace_back(entry.name);
    throw Error(device, " has no ", name(objective), " to minimise; it has ", join(names, ", "));
  }
  for (const Limit& limit : limits) {
    if (known.contains(limit.measure)) continue;
    std::vector<std::string> options;
    for (const LimitOption& option : limit_options())
      if (known.contains(option.measure)) options.push_back(option.option);
    throw Error(limit.option, " limits ", limit.measure, ", which ", device,
                " has not; its limits are ", join(options, ", "));
  }
}

}  // namespace tandem
