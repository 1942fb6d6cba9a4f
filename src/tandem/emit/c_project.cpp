#include "tandem/emit/c_project.h"

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/emit/c_printer.h"
#include "tandem/emit/c_target.h"
#include "tandem/graph/evaluate.h"

namespace tandem {
namespace {

// An input that differs from element to element and covers the format's range.
Tensor example_input(const TensorType& type) {
  const Shape shape = type.static_shape();
  const IntegerRange range = type.format.integer_range();
  const Int128 span = Int128{range.max} - range.min + 1;
  std::vector<std::int64_t> values;
  for (std::int64_t i = 0; i < element_count(shape); ++i) {
    const auto step = static_cast<std::int64_t>((Int128{i} * i * 31 + Int128{i} * 37) % span);
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

std::string example_main(const Module& module, IoPlace io, const std::string& name) {
  const bool in_arena = io == IoPlace::kArena;
  const Graph& graph = module.main();
  std::vector<Tensor> inputs;
  for (const ValueId input : graph.inputs)
    inputs.push_back(example_input(graph.values[input].type));
  const std::vector<Tensor> outputs = evaluate(module, graph, inputs);
  std::string arrays, fill, checks;
  std::vector<std::string> arguments;
  const auto [in, out] = c_interface(graph);
  for (std::size_t i = 0; i < in.size(); ++i) {
    arrays += static_array(concat(name, "_in_", in[i].name), inputs[i], true) + "\n";
    arguments.push_back(concat(name, "_in_", in[i].name));
    if (in_arena)
      fill += concat("  memcpy(", name, "_", in[i].accessor, "(), ", arguments.back(), ", sizeof ",
                     arguments.back(), ");\n");
  }
  for (std::size_t i = 0; i < out.size(); ++i) {
    std::string result = concat(name, "_out_", out[i].name);
    if (in_arena)
      result = concat(name, "_", out[i].accessor, "()");
    else
      arrays += concat("static ", out[i].type, " ", result, "[", out[i].elements, "];\n");
    arrays += static_array(concat(name, "_expected_", out[i].name), outputs[i], true) + "\n";
    arguments.push_back(result);
    checks += concat("  for (i = 0; i < ", out[i].elements, "; ++i)\n    differing += ", result,
                     "[i] != ", name, "_expected_", out[i].name, "[i];\n",
                     "  compared += ", out[i].elements, ";\n");
  }
  if (in_arena) arguments.clear();
  return concat("/* Runs ", name, " once on a made-up input and compares with the reference. */\n",
                "#include <stdio.h>\n", in_arena ? "#include <string.h>\n" : "", "\n#include \"",
                name, ".h\"\n\n", arrays,
                "int main(void) {\n  long i, compared = 0, differing = 0;\n", fill, "  ", name,
                "_run(", join(arguments, ", "), ");\n", checks, "  printf(\"", name,
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
