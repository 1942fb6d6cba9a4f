#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tandem/device/source.h"

namespace tandem {

struct Clock {
  double hertz = 0;
  Provenance provenance;
};

// A memory that buffers of a plan lie in.
struct Memory {
  std::string name;             // "flash", "sram", "bram", ...: Buffer::memory refers to it
  std::int64_t bytes = 0;       // what a program may use
  std::int64_t address = 0;     // of its first byte on the bus; 0 where it has none
  double bytes_per_second = 0;  // that all cores together read; 0 where nobody said
  Provenance provenance;
};

// What one feature of one kernel or stage template costs. A model adds up, for every step,
//   sum over features of (amount of the feature in the step) * per[column].
struct Cost {
  std::string form;     // a form of a plan's step, or a part that several forms share
  std::string feature;  // "multiply_accumulates", "results", "calls", ...
  // By column of the unit's kind: "instructions", "cycles", "code_bytes", "luts", ...
  std::map<std::string, double> per;
};

// Something that computes. Its kind picks the planner and the cost model and says which numbers
// and texts it carries (see unit_kind.h).
struct Unit {
  std::string name;
  std::string kind;  // "mcu", "dataflow_fpga", "host_cpu"
  std::map<std::string, double> numbers;
  std::map<std::string, std::string> texts;
  std::vector<Cost> costs;
  Provenance provenance;        // of the numbers
  Provenance costs_provenance;  // of the costs

  double number(std::string_view key) const;  // InternalError when the kind lacks it
  const std::string& text(std::string_view key) const;
  // nullptr where the form has no cost for the feature.
  const Cost* find_cost(std::string_view form, std::string_view feature) const;
};

// A machine as data: what computes, what remembers, how fast it is clocked, what things cost.
struct Device {
  std::string name;   // the file's stem: "stm32f746"
  std::string title;  // for people
  std::string path;   // the file it was read from
  Clock clock;
  std::vector<Memory> memories;
  std::vector<Unit> units;  // at least one; the first is the one that plans are made for

  const Unit& unit() const { return units.front(); }
  const std::string& kind() const { return units.front().kind; }
  const Memory& memory(std::string_view name) const;  // InternalError when there is none
};

// Reads a device file (schema "tandem-device/1"). Throws Error with file, key and line: an unknown
// key names the nearest, a missing one is named, a number must be positive and have a source.
Device read_device(const std::string& path);
Device parse_device(std::string_view toml, const std::string& path);

// The device of that name in one of device_folders(), or the file at that path (which contains a
// '/' or ends in ".toml"). Throws Error naming the nearest device.
Device find_device(const std::string& name_or_path);

// Names of the devices that find_device() knows, sorted; of one kind where `kind` is not empty.
std::vector<std::string> device_names(std::string_view kind = "");

// The same device as such a file. Costs of a file of their own stand in it too, where the source of
// the unit becomes theirs.
std::string to_toml(const Device& device);

// The device that is used where a kind is needed and the user named none; empty where none is.
std::string default_device(std::string_view kind);

// The existing folders among these, in this order: $TANDEM_DEVICES (separated by ':'; Error when
// one of them does not exist), share/tandem/devices beside the running program, the source tree of
// this build, the folder that this build installs to.
std::vector<std::string> device_folders();

}  // namespace tandem
