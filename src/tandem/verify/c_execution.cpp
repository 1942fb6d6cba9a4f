#include "tandem/verify/c_execution.h"

#include <filesystem>
#include <thread>

#include "tandem/base/error.h"
#include "tandem/base/process.h"
#include "tandem/emit/c_interface.h"
#include "tandem/mapping/mcu_planner.h"
#include "tandem/verify/c_program.h"
#include "tandem/verify/samples.h"

namespace tandem {
namespace {

constexpr std::string_view kStdioHarness = R"(#include <stdio.h>
#include <stdlib.h>
static FILE *in, *out;
static void fail(const char *what) {
  fprintf(stderr, "harness: %s\n", what);
  exit(3);
}
void harness_read(void *to, unsigned long bytes) {
  if (fread(to, 1, bytes, in) != bytes) fail("the input file ends early");
}
void harness_write(const void *from, unsigned long bytes) {
  if (fwrite(from, 1, bytes, out) != bytes) fail("the output file cannot be written");
}
int main(int count, char **arguments) {
  if (count != 3) fail("usage: program input output");
  in = fopen(arguments[1], "rb");
  out = fopen(arguments[2], "wb");
  if (in == NULL || out == NULL) fail("a file cannot be opened");
  harness_networks();
  return fclose(out) != 0;
}
)";

// Compiles every source to an object, two compilers at a time, and links.
void compile(const CProgram& program, const std::string& folder, const CBatchOptions& options,
             const std::string& output) {
  struct Job {
    std::string source;
    bool optimise;
  };
  std::vector<Job> jobs;
  for (const std::string& source : program.code) jobs.push_back({source, true});
  for (const std::string& source : program.constants) jobs.push_back({source, false});
  jobs.push_back({"stdio.c", false});
  std::vector<std::string> sanitizers;
  if (options.sanitize) sanitizers = {"-fsanitize=address,undefined", "-fno-sanitize-recover=all"};
  std::vector<std::exception_ptr> failures(jobs.size());
  const auto work = [&](std::size_t first) {
    for (std::size_t i = first; i < jobs.size(); i += 2) {
      std::vector<std::string> command = {options.compiler, "-std=c99", "-c",
                                          jobs[i].source,   "-o",       jobs[i].source + ".o"};
      if (jobs[i].optimise)
        command.insert(command.end(), options.flags.begin(), options.flags.end());
      command.insert(command.end(), sanitizers.begin(), sanitizers.end());
      try {
        run_tool(command, "compiling the emitted C",
                 {.folder = folder, .timeout_seconds = options.timeout_seconds});
      } catch (...) {
        failures[i] = std::current_exception();
      }
    }
  };
  std::jthread other(work, std::size_t{1});
  work(0);
  other.join();
  for (const std::exception_ptr& failure : failures)
    if (failure) std::rethrow_exception(failure);
  std::vector<std::string> link = {options.compiler, "-o", output};
  for (const Job& job : jobs) link.push_back(job.source + ".o");
  link.insert(link.end(), sanitizers.begin(), sanitizers.end());
  run_tool(link, "linking the emitted C",
           {.folder = folder, .timeout_seconds = options.timeout_seconds});
}

std::string run_host_program(const std::string& program, const std::string& folder,
                             const std::string& input, double timeout_seconds) {
  write_files({{"in.bin", input}}, folder);
  run_tool({program, "in.bin", "out.bin"}, "running the emitted C",
           {.folder = folder, .timeout_seconds = timeout_seconds});
  return read_file(folder + "/out.bin");
}

std::string build_program(const std::vector<CNetwork>& networks, const std::string& folder,
                          const CBatchOptions& options, bool trace, const std::string& output) {
  CProgram program = c_program(networks, {.trace = trace});
  program.files.push_back({"stdio.c", concat("#include \"harness.h\"\n", kStdioHarness)});
  write_files(program.files, folder);
  compile(program, folder, options, output);
  return folder + "/" + output;
}

}  // namespace

std::vector<Samples> run_c_batch(std::span<const Module> modules, std::span<const Plan> plans,
                                 std::span<const Samples> inputs, const CBatchOptions& options) {
  ensure(modules.size() == plans.size() && modules.size() == inputs.size(),
         "one plan and one set of samples for each module");
  std::optional<TemporaryFolder> temporary;
  if (options.folder.empty()) temporary.emplace("c");
  const std::string folder = temporary ? temporary->path().string() : options.folder;
  std::vector<CNetwork> networks;
  std::string input;
  for (std::size_t i = 0; i < modules.size(); ++i) {
    networks.push_back({&modules[i], &plans[i], concat("net", i)});
    input += pack_inputs(modules[i], inputs[i]);
  }
  const std::string program = build_program(networks, folder, options, false, "program");
  const std::string output = run_host_program(program, folder, input, options.timeout_seconds);
  std::vector<Samples> results;
  std::size_t at = 0;
  for (std::size_t i = 0; i < modules.size(); ++i) {
    const Graph& graph = modules[i].main();
    const std::int64_t count = check_samples(modules[i], inputs[i]);
    std::size_t bytes = 0;
    for (const CParameter& parameter : c_interface(graph).outputs)
      bytes += static_cast<std::size_t>(parameter.bytes * count);
    results.push_back(unpack_samples(modules[i], graph.outputs, count, output.substr(at, bytes),
                                     networks[i].name));
    at += bytes;
  }
  return results;
}

std::vector<Samples> run_c_batch(std::span<const Module> modules, std::span<const Samples> inputs,
                                 const CBatchOptions& options) {
  const Device device = find_device(default_device("mcu"));
  std::vector<Plan> plans;
  for (const Module& module : modules) plans.push_back(plan_mcu(module, device));
  return run_c_batch(modules, plans, inputs, options);
}

CExecution::CExecution(const Module& module, const ExecutionOptions& options)
    : module_(module), options_(options) {
  const Device device =
      find_device(options.device.empty() ? default_device("mcu") : options.device);
  throw_issues(CTarget().check(module_), "c");
  plan_ = options_.plan ? *options_.plan : plan_mcu(module_, device);
  folder_ = options.folder;
  if (folder_.empty())
    folder_ = temporary_.emplace("c").path().string();
  else
    std::filesystem::create_directories(folder_);
}

std::string CExecution::program(bool trace) const {
  const std::string folder = trace ? folder_ + "/trace" : folder_;
  std::filesystem::create_directories(folder);
  CBatchOptions options;
  options.sanitize = options_.sanitize;
  options.timeout_seconds = options_.timeout_seconds;
  return build_program({{&module_, &plan_, "net"}}, folder, options, trace, "program");
}

void CExecution::build() { program_ = program(false); }

Samples CExecution::compute(std::span<const Tensor> inputs) {
  const std::int64_t count = check_samples(module_, inputs);
  const std::string output =
      run_host_program(program_, folder_, pack_inputs(module_, inputs), options_.timeout_seconds);
  return unpack_samples(module_, module_.main().outputs, count, output, "the emitted C");
}

std::map<ValueId, Tensor> CExecution::trace(std::span<const Tensor> inputs) {
  const std::string traced = program(true);
  const std::string output = run_host_program(
      traced, folder_ + "/trace", pack_inputs(module_, inputs), options_.timeout_seconds);
  return unpack_trace(module_, plan_, output, check_samples(module_, inputs));
}

std::map<ValueId, Tensor> unpack_trace(const Module& module, const Plan& plan,
                                       const std::string& output, std::int64_t count) {
  std::vector<ValueId> values;
  for (std::size_t step = 0; step < plan.steps.size(); ++step)
    for (const std::size_t buffer : completed_values(plan, step))
      values.push_back(plan.buffers[buffer].value);
  const std::size_t traced = values.size();
  values.insert(values.end(), module.main().outputs.begin(), module.main().outputs.end());
  const std::vector<Tensor> all =
      one_sample(unpack_samples(module, values, count, output, "the traced C"), count - 1);
  std::map<ValueId, Tensor> seen;
  for (std::size_t i = 0; i < traced; ++i) seen.insert_or_assign(values[i], all[i]);
  return seen;
}

}  // namespace tandem
