#include "tandem/runtime/measure_host.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <unistd.h>
#include <utility>
#include <vector>

#include "tandem/base/error.h"
#include "tandem/base/file.h"
#include "tandem/base/progress.h"
#include "tandem/base/random.h"
#include "tandem/base/text.h"
#include "tandem/base/threads.h"
#include "tandem/cost/host_cost.h"
#include "tandem/kernels/processor_rates.h"
#include "tandem/runtime/host_network.h"
#include "tandem/runtime/host_plan.h"
#include "tandem/runtime/host_sweep.h"
#include "tandem/runtime/program.h"
#include "tandem/solve/nonnegative_least_squares.h"

namespace tandem {
namespace {

// Sets the number of threads for a while.
class Threads {
 public:
  explicit Threads(int count) : before_(thread_count()) { set_thread_count(count); }
  ~Threads() { set_thread_count(before_); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

 private:
  int before_;
};

// ---- Memories ----

std::optional<std::string> system_text(const std::string& path) {
  try {
    return std::string(trim(read_file(path)));
  } catch (const Error&) {
    return std::nullopt;  // other systems do not say
  }
}

// "2048K" in bytes.
std::int64_t bytes_of(const std::string& text) {
  if (text.empty()) return 0;
  const std::int64_t unit = text.back() == 'K' ? 1 << 10 : text.back() == 'M' ? 1 << 20 : 1;
  const std::size_t digits = text.size() - (unit == 1 ? 0 : 1);
  return parse_integer(std::string_view(text).substr(0, digits), "the size of a cache") * unit;
}

// Bytes of the caches for data of the first core, by level.
std::map<int, std::int64_t> cache_bytes() {
  std::map<int, std::int64_t> caches;
  for (int index = 0;; ++index) {
    const std::string folder = concat("/sys/devices/system/cpu/cpu0/cache/index", index, "/");
    const auto level = system_text(folder + "level"), type = system_text(folder + "type"),
               size = system_text(folder + "size");
    if (!level || !type || !size) return caches;
    if (*type != "Instruction")
      caches[static_cast<int>(parse_integer(*level, "the level of a cache"))] = bytes_of(*size);
  }
}

// The largest cache that one core has to itself.
std::int64_t private_cache_bytes(const Device& device) {
  std::int64_t bytes = 1 << 20;
  for (const Memory& memory : device.memories)
    if (memory.name == "l1" || memory.name == "l2") bytes = memory.bytes;
  return bytes;
}

const Provenance kMeasured{Source::kMeasured, "by tandem measure"};

std::vector<Memory> measured_memories(int threads) {
  std::vector<Memory> memories;
  std::int64_t largest = 1 << 25;
  for (const auto& [level, bytes] : cache_bytes()) {
    // Half of a cache leaves room for what else is in it; a shared one is as large as it says for
    // one core only where the others rest.
    constexpr std::int64_t kMost = 32 << 20;
    const std::int64_t each = std::min(bytes / 2, kMost);
    const double rate = read_bytes_per_second(static_cast<std::size_t>(each * threads), threads);
    memories.push_back({concat("l", level), bytes, 0, rate, kMeasured});
    largest = std::max(largest, bytes);
  }
  const std::int64_t installed = sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
  const double rate = read_bytes_per_second(
      static_cast<std::size_t>(std::min<std::int64_t>(4 * largest, installed / 8)), threads, 1);
  memories.push_back({"dram", installed, 0, rate, kMeasured});
  return memories;
}

// ---- Costs ----

// Random operands of a network's inputs, and places for its outputs.
class Buffers {
 public:
  Buffers(const Module& module, std::uint64_t seed) {
    const Graph& graph = module.main();
    for (const ValueId input : graph.inputs) {
      const TensorType& type = graph.values[input].type;
      RandomSequence random(seed, graph.values[input].name);
      std::vector<double> values(static_cast<std::size_t>(element_count(type.static_shape())));
      for (double& value : values) value = std::floor(100 * random.uniform()) / 50 - 1;
      tensors_.push_back(Tensor::from_reals(type.format, type.static_shape(), values));
    }
    for (const Tensor& tensor : tensors_) inputs_.push_back(tensor.bytes().data());
    for (const ValueId output : graph.outputs) {
      const TensorType& type = graph.values[output].type;
      results_.emplace_back(type.format, type.static_shape());
    }
    for (Tensor& result : results_) outputs_.push_back(result.mutable_bytes().data());
  }
  void run(const Program& program, Program::Workspace& workspace) const {
    program.run(inputs_, outputs_, workspace);
  }

 private:
  std::vector<Tensor> tensors_, results_;
  std::vector<const std::byte*> inputs_;
  std::vector<std::byte*> outputs_;
};

// Reads as much on every thread as drives all else out of the caches of a core.
void evict(std::int64_t bytes) {
  static std::vector<std::vector<char>> memory;
  memory.resize(static_cast<std::size_t>(thread_count()));
  parallel_for(0, thread_count(), 1, [&](std::int64_t thread, std::int64_t) {
    std::vector<char>& mine = memory[static_cast<std::size_t>(thread)];
    mine.resize(static_cast<std::size_t>(bytes));
    for (std::size_t at = 0; at < mine.size(); at += 64) ++mine[at];
  });
}

// The shortest of several runs, after one that warms up; each after evict() where `cold_bytes` is
// not 0.
double run_seconds(const Program& program, const Buffers& buffers, double seconds,
                   std::int64_t cold_bytes) {
  using Clock = std::chrono::steady_clock;
  Program::Workspace workspace = program.workspace();
  buffers.run(program, workspace);
  double best = 1e30;
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  for (int runs = 0; runs < 3 || Clock::now() < end; ++runs) {
    if (cold_bytes > 0) evict(cold_bytes);
    const auto start = Clock::now();
    buffers.run(program, workspace);
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  }
  return best;
}

using Key = std::pair<std::string, std::size_t>;  // form and feature

// One network of the sweep: how much of each feature it has, and how long a run took.
struct Observation {
  std::map<Key, double> amounts;
  double seconds = 0;
};

// What the forms cost, so that the relative errors of all run times are small in the square.
class Fit {
 public:
  explicit Fit(const std::vector<Observation>& observations) {
    std::map<Key, std::size_t> columns;
    for (const Observation& one : observations)
      for (const auto& [key, amount] : one.amounts) columns.emplace(key, 0);
    for (auto& [key, column] : columns) column = keys_.size(), keys_.push_back(key);
    std::vector<std::vector<double>> rows;
    for (const Observation& one : observations) {
      rows.emplace_back(keys_.size());
      for (const auto& [key, amount] : one.amounts)
        rows.back()[columns.at(key)] = amount / one.seconds;
    }
    per_ = nonnegative_least_squares(rows, std::vector<double>(rows.size(), 1.0));
    for (std::size_t i = 0; i < rows.size(); ++i) add_error(rows[i]);
  }

  double per(const Key& key) const {
    const auto found = std::find(keys_.begin(), keys_.end(), key);
    return found == keys_.end() ? 0 : per_[static_cast<std::size_t>(found - keys_.begin())];
  }
  // Root of the mean square relative error of the networks in which the form occurs, weighted by
  // the form's share of their time.
  double error(const std::string& form) const {
    const auto [square, weight] = errors_.at(form);
    return weight > 0 ? std::sqrt(square / weight) : 0;
  }

 private:
  void add_error(const std::vector<double>& row) {
    double predicted = 0;
    std::map<std::string, double> shares;
    for (std::size_t j = 0; j < keys_.size(); ++j) {
      predicted += row[j] * per_[j];
      shares[keys_[j].first] += row[j] * per_[j];
    }
    for (const auto& [form, share] : shares) {
      errors_[form].first += share * (predicted - 1) * (predicted - 1);
      errors_[form].second += share;
    }
  }

  std::vector<Key> keys_;
  std::vector<double> per_;
  std::map<std::string, std::pair<double, double>> errors_;
};

struct Sweep {
  std::vector<Observation> one_core, all_cores;
};

void add(const HostStep& step, Observation& observation) {
  for (std::size_t k = 0; k < kHostFeatures; ++k)
    observation.amounts[{step.form, k}] += step.amounts[k];
}

Sweep run_sweep(const MeasureOptions& options, int threads, std::int64_t cold_bytes) {
  const std::vector<Module> modules = host_sweep(options.seed, options.rounds);
  Progress progress("measuring networks", static_cast<std::int64_t>(modules.size()));
  Sweep sweep;
  for (const Module& module : modules) {
    const HostNetwork network = prepare_for_host(module);
    const Program program(network.module, plan_host(network.module, {.layouts = network.layouts}));
    Observation warm, cold;
    for (const Step& step : program.plan().steps) {
      HostStep part = host_step(network.module, program.plan(), step);
      if (part.form.empty()) continue;
      add(part, warm);
      part[HostFeature::kColdBytes] = part.outer_bytes;
      add(part, cold);
    }
    const Buffers buffers(network.module, options.seed);
    for (const int count : {1, threads}) {
      const Threads working(count);
      warm.seconds = run_seconds(program, buffers, options.seconds_per_network, 0);
      cold.seconds = run_seconds(program, buffers, options.seconds_per_network, cold_bytes);
      for (const Observation& one : {warm, cold}) {
        if (count == 1) sweep.one_core.push_back(one);
        if (count == threads) sweep.all_cores.push_back(one);
      }
      if (threads == 1) break;
    }
    progress.advance();
  }
  return sweep;
}

// Four significant digits: a file for people.
double rounded(double value) {
  if (value == 0) return 0;
  const double unit = std::pow(10, std::floor(std::log10(value)) - 3);
  return std::round(value / unit) * unit;
}

std::vector<Cost> fitted_costs(const Sweep& sweep) {
  const Fit one(sweep.one_core), all(sweep.all_cores);
  std::set<std::string> forms;
  for (const Observation& observation : sweep.one_core)
    for (const auto& [key, amount] : observation.amounts) forms.insert(key.first);
  std::vector<Cost> costs;
  for (const std::string& form : forms) {
    const auto add = [&](std::string_view feature, double one_core, double all_cores) {
      costs.push_back(
          {form,
           std::string(feature),
           {{"seconds_one_core", rounded(one_core)}, {"seconds_all_cores", rounded(all_cores)}}});
    };
    for (std::size_t k = 0; k < kHostFeatures; ++k)
      add(name(static_cast<HostFeature>(k)), one.per({form, k}), all.per({form, k}));
    add("relative_error", one.error(form), all.error(form));
  }
  return costs;
}

std::string processor_name() {
  for (const std::string& line : split(system_text("/proc/cpuinfo").value_or(""), '\n'))
    if (line.starts_with("model name") && line.find(':') != std::string::npos)
      return std::string(trim(line.substr(line.find(':') + 1)));
  return "this processor";
}

}  // namespace

Device measure_host(const MeasureOptions& options) {
  const int threads = thread_count();
  Device device;
  device.name = options.name;
  device.path = options.name + ".toml";
  device.title = concat(processor_name(), ", ", threads, threads == 1 ? " core" : " cores");
  device.clock = {rounded(clock_hertz()), kMeasured};
  device.memories = measured_memories(threads);
  for (Memory& memory : device.memories) memory.bytes_per_second = rounded(memory.bytes_per_second);
  Unit unit;
  unit.name = "cores";
  unit.kind = "host_cpu";
  unit.texts["instruction_set"] = vector_extensions();
  unit.numbers["cores"] = threads;
  static constexpr std::array<std::pair<Products, const char*>, 3> kProducts = {
      {{Products::kF32, "f32"}, {Products::kI16, "i16"}, {Products::kI8, "i8"}}};
  for (const auto& [products, format] : kProducts)
    unit.numbers[concat(format, "_operations_per_second")] =
        rounded(operations_per_second(products, threads));
  const Sweep sweep = run_sweep(options, threads, 2 * private_cache_bytes(device));
  unit.costs = fitted_costs(sweep);
  unit.provenance = {Source::kMeasured,
                     concat("by tandem measure, costs fitted to ", sweep.one_core.size() / 2,
                            " networks (sweep ", options.seed, "), warm and cold")};
  unit.costs_provenance = unit.provenance;
  device.units.push_back(std::move(unit));
  return device;
}

}  // namespace tandem
