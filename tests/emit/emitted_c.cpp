#include "tests/emit/emitted_c.h"

#include <sstream>

#include "tandem/base/process.h"
#include "tandem/base/random.h"
#include "tandem/base/text.h"
#include "tandem/device/device.h"
#include "tandem/graph/printer.h"
#include "tandem/ops/register.h"
#include "tandem/verify/c_program.h"

namespace tandem::test {

Module separable_layers() {
  RandomSequence random(1, "test/separable");
  const auto constant = [&](const std::string& name, const std::string& type, std::int64_t count,
                            std::int64_t low, std::int64_t high) {
    std::vector<std::string> values;
    for (std::int64_t i = 0; i < count; ++i)
      values.push_back(std::to_string(random.integer(low, high)));
    return concat("constant @", name, " : ", type, " = [", join(values, ","), "]\n");
  };
  std::string constants, nodes;
  const auto layer = [&](const std::string& from, const std::string& to, const std::string& shape,
                         std::int64_t weights, const std::string& attributes) {
    constants += constant(to + "_w", concat("int8[", shape, "]"), weights, -127, 127) +
                 constant(to + "_m", "int32[16]", 16, 1 << 30, INT32_MAX) +
                 constant(to + "_b", "int41[16]", 16, -100, 100) +
                 constant(to + "_s", "uint8[16]", 16, 38, 40);
    for (const char* part : {"_w", "_m", "_b", "_s"})
      nodes += concat("  %", to, part, " = constant @", to, part, "\n");
    nodes += concat("  %", to, "_sum : int32[1,8,8,16] = IntConv(%", from, ", %", to,
                    "_w) {format = int32", attributes, "}\n  %", to,
                    " : int8[1,8,8,16] = Rescale(%", to, "_sum, %", to, "_m, %", to, "_b, %", to,
                    "_s) {format = int8, rounding = \"floor\"}\n");
  };
  layer("x", "point", "16,1,1,16", 256, "");
  layer("point", "depth", "16,3,3,1", 144, ", group = 16, pads = [1,1,1,1]");
  layer("depth", "full", "16,3,3,16", 2304, ", pads = [1,1,1,1]");
  return parse_module(concat("tandem-module 1\n", constants,
                             "graph @main(%x : int8[1,8,8,16]) -> (%full) {\n", nodes, "}\n"));
}

Artifacts emitted(const Module& module, const std::string& name, McuObjective objective, IoPlace io,
                  const char* device) {
  const Plan plan = plan_mcu(module, find_device(device), {.objective = objective, .io = io});
  return CTarget().emit(module, plan, name);
}

std::string including(const std::vector<std::string>& headers) {
  std::string text;
  for (const std::string& header : headers) text += concat("#include \"", header, "\"\n");
  return text;
}

void EmittedC::SetUpTestSuite() { register_operators(); }

void EmittedC::write(const Artifacts& artifacts) const { write_files(artifacts, folder()); }

std::string EmittedC::run(const std::vector<std::string>& command) const {
  return run_tool(command, "building the emitted C", {.folder = folder()}).output;
}

void EmittedC::compile(std::vector<std::string> command, const std::vector<std::string>& language,
                       const std::vector<std::string>& sources) const {
  command.insert(command.end(), language.begin(), language.end());
  for (const char* option : {"-O1", "-Werror", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion",
                             "-Wsign-conversion", "-Wshadow", "-Wundef", "-Wcast-qual",
                             "-Wunused-function", "-Wdouble-promotion", "-DCODED_WITH_FLOAT", "-c"})
    command.push_back(option);
  command.insert(command.end(), sources.begin(), sources.end());
  run(command);
}

std::set<std::string> EmittedC::symbols(const std::string& object, const std::string& kinds) const {
  std::set<std::string> found;
  std::istringstream lines(run({"nm", object}));
  for (std::string line; std::getline(lines, line);) {
    const auto words = split(line, ' ');
    const std::string& kind = words[words.size() - 2];
    if (kind.size() == 1 && kinds.find(kind) != std::string::npos) found.insert(words.back());
  }
  return found;
}

}  // namespace tandem::test
