#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tandem {

// What a search makes as small as it can.
enum class Objective { kLatency, kEnergy, kSram, kFlash, kArea };
std::string_view name(Objective objective);        // "latency", "energy", "sram", "flash", "area"
Objective parse_objective(std::string_view text);  // throws Error naming the nearest

// What a network on a device measures, by name: the totals of an Estimate (cost/estimate.h),
// "rate_per_second" and "accuracy_drop" (a share, against the network as it was read).
using Measures = std::map<std::string, double>;

// The measure that an objective makes small: "latency_seconds", "energy_joules", "sram_bytes",
// "flash_bytes", "luts".
std::string_view measure_of(Objective objective);

// A bound that the user or the device sets for one measure.
struct Limit {
  std::string option;  // "--max-flash", or "flash of stm32f746"
  std::string measure;
  bool at_least = false;  // the measure must reach the bound, not stay below it
  double bound = 0;

  // The share by which a measure misses the bound; 0 where it is met. A bound of 0 that is missed
  // is missed by 1 + the measure.
  double excess(double value) const;
  // By how many bytes a measure of bytes exceeds its bound; 0 where it is met, and of other
  // measures. As text "1,234 bytes are missing", or nothing.
  std::int64_t missing_bytes(double value) const;
  std::string missing(double value) const;
  // The bound as the user would write it: "24576", "1.5%", "0.002s".
  std::string text(double value) const;
};

// The limits that options can set, in the order of the help.
struct LimitOption {
  std::string option, kind, measure, help;
  bool at_least = false;
};
const std::vector<LimitOption>& limit_options();

// "--max-flash=24KiB". Numbers: bytes with K, KB, KiB, M, MiB; shares as "1%" or 0.01; seconds with
// s, ms, us; joules with J, mJ, uJ; rates with /s. Throws Error naming the option.
Limit parse_limit(const LimitOption& option, std::string_view text);

// The greatest excess over all limits, 0 where all are met. The measures hold all that are limited.
double worst_excess(const std::vector<Limit>& limits, const Measures& measures);

// Throws Error naming the objective, or the first limit, whose measure is none of `known`.
void check_measures(Objective objective, const std::vector<Limit>& limits, const Measures& known,
                    std::string_view device);

}  // namespace tandem
