#include "tandem/verify/c_program.h"

#include <filesystem>
#include <fstream>

#include "tandem/base/error.h"
#include "tandem/emit/c_interface.h"

namespace tandem {
namespace {

// The function that reads, runs and writes all samples of one network.
std::string network_loop(const CNetwork& network, std::size_t index,
                         const CProgramOptions& options) {
  const CInterface interface = c_interface(network.module->main());
  std::string arrays, reads, writes, arguments;
  const auto argument = [&](const std::string& array) {
    arguments += concat(arguments.empty() ? "" : ", ", array);
  };
  const bool in_arena = network.plan->io == IoPlace::kArena;
  const auto add = [&](const std::vector<CParameter>& parameters, const std::string& kind,
                       const std::string& function, std::string& calls) {
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      if (in_arena) {
        calls += concat("    ", function, "(", network.name, "_", parameters[i].accessor, "(), ",
                        parameters[i].bytes, ");\n");
        continue;
      }
      const std::string array = concat("harness_", index, "_", kind, i);
      arrays +=
          concat("static ", parameters[i].type, " ", array, "[", parameters[i].elements, "];\n");
      calls += concat("    ", function, "(", array, ", ", parameters[i].bytes, ");\n");
      argument(array);
    }
  };
  add(interface.inputs, "in", "harness_read", reads);
  add(interface.outputs, "out", "harness_write", writes);
  ensure(!in_arena || options.counted_runs <= 1, "a run overwrites the inputs of the next");
  const bool has_states = !network.module->states.empty();
  ensure(!has_states || options.counted_runs <= 1, "a run changes the states of the next");
  std::string run = concat("    ", network.name, "_run(", arguments, ");\n");
  if (options.counted_runs > 0)
    run = concat("    harness_start();\n    for (repeat = 0; repeat < ", options.counted_runs,
                 "; ++repeat)\n  ", run, "    harness_stop(", index, ", ", options.counted_runs,
                 ");\n");
  std::string trace;
  if (options.trace)
    trace = concat("void ", network.name,
                   "_trace(int step, int write, const void *data, "
                   "unsigned long bytes) {\n  (void)step;\n  (void)write;\n"
                   "  harness_write(data, bytes);\n}\n");
  std::string streams, reset;
  if (has_states) {
    streams =
        "  int64_t streams;\n  harness_read(&streams, sizeof streams);\n"
        "  for (; streams > 0; --streams) {\n";
    reset = concat("  if (streams > 1) ", network.name, "_reset();\n  }\n");
  }
  return concat("#include \"", network.name, ".h\"\n", arrays, trace, "static void harness_run_",
                index,
                "(void) {\n"
                "  int64_t count;\n",
                options.counted_runs > 0 ? "  int repeat;\n" : "", streams,
                "  harness_read(&count, sizeof count);\n"
                "  for (; count > 0; --count) {\n",
                reads, run, writes, "  }\n", reset, "}\n\n");
}

constexpr std::string_view kInterface = R"(#ifndef HARNESS_H
#define HARNESS_H
void harness_read(void *to, unsigned long bytes);
void harness_write(const void *from, unsigned long bytes);
void harness_start(void);
void harness_stop(int network, int runs);
void harness_networks(void);
#endif
)";

}  // namespace

CProgram c_program(const std::vector<CNetwork>& networks, const CProgramOptions& options) {
  CProgram program;
  const CTarget target(COptions{options.trace, false});
  std::string loops = "#include <stdint.h>\n#include \"harness.h\"\n\n", calls;
  std::vector<std::string> code, constants;
  for (std::size_t i = 0; i < networks.size(); ++i) {
    const CNetwork& network = networks[i];
    for (Artifact& file : target.emit(*network.module, *network.plan, network.name)) {
      if (file.path == network.name + ".c") code.push_back(file.path);
      if (file.path == network.name + "_weights.c") constants.push_back(file.path);
      program.files.push_back(std::move(file));
    }
    loops += network_loop(network, i, options);
    calls += concat("  harness_run_", i, "();\n");
  }
  // One network is compiled as a user would; many are compiled together to save time.
  const auto together = [&](const std::vector<std::string>& sources, const std::string& stem,
                            std::vector<std::string>& result) {
    if (networks.size() == 1) {
      result.insert(result.end(), sources.begin(), sources.end());
      return;
    }
    for (std::size_t i = 0; i < sources.size(); i += options.networks_per_file) {
      std::string text;
      for (std::size_t k = i; k < std::min(sources.size(), i + options.networks_per_file); ++k)
        text += concat("#include \"", sources[k], "\"\n");
      program.files.push_back({concat(stem, i / options.networks_per_file, ".c"), text});
      result.push_back(program.files.back().path);
    }
  };
  together(code, "code", program.code);
  together(constants, "constants", program.constants);
  program.files.push_back({"harness.h", std::string(kInterface)});
  program.files.push_back(
      {"harness.c", concat(loops, "void harness_networks(void) {\n", calls, "}\n")});
  program.constants.push_back("harness.c");
  return program;
}

void write_files(const Artifacts& files, const std::string& folder) {
  for (const Artifact& file : files) {
    const std::filesystem::path path = std::filesystem::path(folder) / file.path;
    std::ofstream out(path, std::ios::binary);
    out << file.content;
    if (!out.flush())
      throw Error(path.string(), ": cannot be written; check the folder's rights and free space");
  }
}

}  // namespace tandem
