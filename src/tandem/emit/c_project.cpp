#include "tandem/emit/c_project.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/emit/c_interface.h"
#include "tandem/emit/c_printer.h"
#include "tandem/emit/c_selftest.h"

namespace tandem {
namespace {

// How many numbers of an output the example prints.
constexpr std::int64_t kPrinted = 10;

std::string run_self_test(const std::string& name) {
  return concat("  const int differing = ", name,
                "_selftest();\n  int32_t i;\n  if (differing != 0) {\n    printf(\"", name,
                ": run %d of the self-test differs from the reference\\n\", differing);\n"
                "    return 1;\n  }\n  printf(\"",
                name, ": all %d runs of the self-test equal the reference\\n\",\n         ",
                c_macro(name), "_SELFTEST_RUNS);\n");
}

std::string filled_input(const std::string& input, const std::string& size, const Format& format) {
  const int code = format == Format::parse("bipolar") ? 1 : 0;
  return concat("  for (i = 0; i < ", size, "; ++i) {\n    ", input, "[i] = ", code, ";\n  }\n");
}

std::string printed_output(const CParameter& end, const std::string& output) {
  const bool is_wide = end.bytes == 8 * end.elements;
  return concat("  printf(\"", end.name, ":\");\n  for (i = 0; i < ",
                std::min(end.elements, kPrinted), "; ++i) {\n    printf(\" %",
                is_wide ? "lld" : "ld", "\", (", is_wide ? "long long" : "long", ")", output,
                "[i]);\n  }\n  printf(\"\\n\");\n");
}

std::string example_main(const Module& module, IoPlace io, const std::string& name) {
  const Graph& graph = module.main();
  const CInterface interface = c_interface(graph);
  std::string arrays, fill, print;
  std::vector<std::string> arguments;
  const auto place = [&](const CParameter& end) {
    if (io == IoPlace::kArena) return concat(name, "_", end.accessor, "()");
    arrays += concat("static ", end.type, " ", end.accessor, "[", c_macro(name), "_", end.macro,
                     "_SIZE];\n");
    arguments.push_back(end.accessor);
    return end.accessor;
  };
  for (std::size_t i = 0; i < interface.inputs.size(); ++i) {
    const CParameter& end = interface.inputs[i];
    fill += filled_input(place(end), concat(c_macro(name), "_", end.macro, "_SIZE"),
                         graph.values[graph.inputs[i]].type.format);
  }
  for (const CParameter& end : interface.outputs) print += printed_output(end, place(end));
  return concat("/* How ", name, " is called: its self-test, then one run",
                module.states.empty() ? "" : " of a new stream",
                ". */\n#include <stdio.h>\n\n#include \"", name, ".h\"\n#include \"", name,
                "_selftest.h\"\n\n", wrapped(arrays), arrays.empty() ? "" : "\n",
                "int main(void) {\n", run_self_test(name), "\n", wrapped(fill),
                wrapped(concat("  ", name, "_run(", join(arguments, ", "), ");\n")), wrapped(print),
                "  return 0;\n}\n");
}

// '{name}': of the network, '{files}': its sources or objects.
constexpr std::string_view kMakefile =
    R"(# make run: builds the example and runs it. For a microcontroller:
#   make lib{name}.a CC=arm-none-eabi-gcc AR=arm-none-eabi-ar CFLAGS="-O2 -mcpu=cortex-m4"
CFLAGS ?= -O2 -Wall -Wextra -Wconversion
STANDARD = -std=c99 -pedantic
OBJECTS = {files}

all: lib{name}.a {name}_example

run: {name}_example
	./{name}_example

{name}_example: main.o lib{name}.a
	$(CC) $(CFLAGS) -o $@ main.o lib{name}.a

lib{name}.a: $(OBJECTS)
	$(AR) rcs $@ $(OBJECTS)

%.o: %.c $(wildcard *.h)
	$(CC) $(STANDARD) $(CFLAGS) -c -o $@ $<

clean:
	rm -f *.o lib{name}.a {name}_example

.PHONY: all run clean
)";

constexpr std::string_view kCmake = R"(cmake_minimum_required(VERSION 3.13)
project({name} C)

add_library({name} STATIC {files})
target_include_directories({name} PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
set_target_properties({name} PROPERTIES C_STANDARD 99 C_EXTENSIONS OFF)

# The example, unless this is a folder of another project.
if(CMAKE_SOURCE_DIR STREQUAL CMAKE_CURRENT_SOURCE_DIR)
  add_executable({name}_example main.c)
  target_link_libraries({name}_example {name})
  set_target_properties({name}_example PROPERTIES C_STANDARD 99 C_EXTENSIONS OFF)
  enable_testing()
  add_test(NAME {name}_selftest COMMAND {name}_example)
endif()
)";

std::string filled_in(std::string_view pattern, const std::string& name, const std::string& files) {
  std::string text(pattern);
  for (const auto& [mark, by] :
       {std::pair<std::string, std::string>{"{name}", name}, {"{files}", files}})
    for (std::size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, at))
      text.replace(at, mark.size(), by);
  return text;
}

}  // namespace

Artifacts c_project(const Module& module, IoPlace io, const std::string& name, bool has_constants) {
  std::vector<std::string> sources = {name + ".c", name + "_selftest.c"}, objects;
  if (has_constants) sources.push_back(name + "_weights.c");
  for (const std::string& source : sources)
    objects.push_back(source.substr(0, source.size() - 1) + "o");
  Artifacts artifacts = c_selftest(module, io, name);
  artifacts.push_back({"main.c", example_main(module, io, name)});
  artifacts.push_back({"Makefile", filled_in(kMakefile, name, join(objects, " "))});
  artifacts.push_back({"CMakeLists.txt", filled_in(kCmake, name, join(sources, " "))});
  return artifacts;
}

}  // namespace tandem
