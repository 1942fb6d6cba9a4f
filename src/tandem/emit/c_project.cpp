#include "tandem/emit/c_project.h"

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/emit/c_printer.h"
#include "tandem/emit/c_target.h"
#include "tandem/graph/evaluate.h"

namespace tandem {
namespace {

// An input that differs from element to element and from call to call and covers the format's
// range.
Tensor example_input(const TensorType& type, std::int64_t call) {
  const Shape shape = type.static_shape();
  const IntegerRange range = type.format.integer_range();
  const Int128 span = Int128{range.max} - range.min + 1;
  std::vector<std::int64_t> values;
  for (std::int64_t i = 0; i < element_count(shape); ++i) {
    const auto step =
        static_cast<std::int64_t>((Int128{i} * i * 31 + Int128{i} * 37 + Int128{call} * 71) % span);
    const std::int64_t value = range.min + step;
    // Bipolar codes have no zero.
    values.push_back(type.format == Format::parse("bipolar") && value == 0 ? 1 : value);
  }
  return Tensor::from_integers(type.format, shape, values);
}

std::string static_array(const std::string& name, const Tensor& tensor, bool constant) {
  Array array;
  array.storage = tensor.format().storage();
  array.values = tensor.to_integers();
  return concat("static ", constant ? "const " : "", c_type(array.storage), " ", name, "[",
                tensor.size(), "] = ", c_initializer(array), ";\n");
}

// The calls of one value, one after the other.
Tensor joined(const std::vector<std::vector<Tensor>>& calls, std::size_t index) {
  const Tensor& first = calls[0][index];
  std::vector<std::int64_t> values;
  for (const std::vector<Tensor>& call : calls)
    for (const std::int64_t value : call[index].to_integers()) values.push_back(value);
  return Tensor::from_integers(first.format(), {static_cast<std::int64_t>(values.size())}, values);
}

// What the example of a network without states does once; of one with states three times, from the
// start and once more after a reset.
std::string example_stream(const std::string& name, const std::string& call) {
  std::string indented;
  for (const std::string& line : split(call, '\n'))
    if (!line.empty()) indented += concat("    ", line, "\n");
  return concat(
      "  for (stream = 0; stream < 2; ++stream) {\n    for (call = 0; call < 3; ++call) {\n",
      wrapped(indented), "    }\n    ", name, "_reset();\n  }\n");
}

std::string example_main(const Module& module, IoPlace io, const std::string& name) {
  const bool in_arena = io == IoPlace::kArena, has_states = !module.states.empty();
  const Graph& graph = module.main();
  std::vector<std::vector<Tensor>> inputs, outputs;
  std::vector<Tensor> states = initial_states(module);
  for (std::int64_t call = 0; call < (has_states ? 3 : 1); ++call) {
    inputs.emplace_back();
    for (const ValueId input : graph.inputs)
      inputs.back().push_back(example_input(graph.values[input].type, call));
    outputs.push_back(evaluate(module, graph, inputs.back(), &states));
  }
  std::string arrays, fill, checks;
  std::vector<std::string> arguments;
  const auto at_call = [&](const CParameter& end) {
    return has_states ? concat(" + call * ", end.elements) : std::string();
  };
  const auto [in, out] = c_interface(graph);
  for (std::size_t i = 0; i < in.size(); ++i) {
    const std::string input = concat(name, "_in_", in[i].name);
    arrays += static_array(input, joined(inputs, i), true) + "\n";
    arguments.push_back(input + at_call(in[i]));
    if (in_arena)
      fill += wrapped(concat("  memcpy(", name, "_", in[i].accessor, "(), ", arguments.back(), ", ",
                             in[i].bytes, ");\n"));
  }
  for (std::size_t i = 0; i < out.size(); ++i) {
    std::string result = concat(name, "_out_", out[i].name);
    if (in_arena)
      result = concat(name, "_", out[i].accessor, "()");
    else
      arrays += concat("static ", out[i].type, " ", result, "[", out[i].elements, "];\n");
    const std::string expected = concat(name, "_expected_", out[i].name);
    arrays += static_array(expected, joined(outputs, i), true) + "\n";
    arguments.push_back(result);
    checks += wrapped(concat("  for (i = 0; i < ", out[i].elements,
                             "; ++i)\n    differing += ", result, "[i] != ", expected, "[i",
                             at_call(out[i]), "];\n  compared += ", out[i].elements, ";\n"));
  }
  if (in_arena) arguments.clear();
  std::string call =
      concat(fill, wrapped(concat("  ", name, "_run(", join(arguments, ", "), ");\n")), checks);
  if (has_states) call = example_stream(name, call);
  return concat("/* Runs ", name, has_states ? " on a made-up stream" : " once on a made-up input",
                " and compares with the reference. */\n#include <stdio.h>\n",
                in_arena ? "#include <string.h>\n" : "", "\n#include \"", name, ".h\"\n\n", arrays,
                "int main(void) {\n  long i, ", has_states ? "stream, call, " : "",
                "compared = 0, differing = 0;\n", call, "  printf(\"", name,
                ": %ld of %ld output values differ from the reference\\n\", "
                "differing,\n         compared);\n  return differing != 0;\n}\n");
}

}  // namespace

Artifacts c_project(const Module& module, IoPlace io, const std::string& name, bool has_constants) {
  const std::string sources =
      concat(name, ".c", has_constants ? concat(" ", name, "_weights.c") : "");
  const std::string objects =
      concat(name, ".o", has_constants ? concat(" ", name, "_weights.o") : "");
  const std::string makefile = concat(
      "# make run: builds the example and runs it. For a microcontroller:\n"
      "#   make lib",
      name,
      ".a CC=arm-none-eabi-gcc AR=arm-none-eabi-ar CFLAGS=\"-O2 "
      "-mcpu=cortex-m4 -mthumb\"\n"
      "CC ?= cc\nAR ?= ar\n"
      "CFLAGS ?= -O2 -Wall -Wextra -Wconversion\nSTANDARD = -std=c99 -pedantic\n\n"
      "run: ",
      name, "_example\n\t./", name, "_example\n\n", name, "_example: main.o lib", name,
      ".a\n\t$(CC) $(CFLAGS) -o $@ main.o lib", name, ".a\n\nlib", name, ".a: ", objects,
      "\n\t$(AR) rcs $@ ", objects, "\n\n%.o: %.c ", name,
      ".h\n\t$(CC) $(STANDARD) $(CFLAGS) -c -o $@ $<\n\n"
      "clean:\n\trm -f *.o lib",
      name, ".a ", name, "_example\n\n.PHONY: run clean\n");
  const std::string cmake = concat(
      "cmake_minimum_required(VERSION 3.13)\nproject(", name, " C)\n\nadd_library(", name,
      " STATIC ", sources, ")\ntarget_include_directories(", name,
      " PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})\nset_target_properties(", name,
      " PROPERTIES C_STANDARD 99 C_EXTENSIONS OFF)\n\nadd_executable(", name,
      "_example main.c)\ntarget_link_libraries(", name, "_example ", name,
      ")\nset_target_properties(", name, "_example PROPERTIES C_STANDARD 99 C_EXTENSIONS OFF)\n");
  return {{"main.c", example_main(module, io, name)},
          {"Makefile", makefile},
          {"CMakeLists.txt", cmake}};
}

}  // namespace tandem
