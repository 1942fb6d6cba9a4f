#include "tandem/emit/c_selftest.h"

#include <algorithm>

#include "tandem/base/text.h"
#include "tandem/emit/c_interface.h"
#include "tandem/emit/c_printer.h"
#include "tandem/graph/evaluate.h"

namespace tandem {
namespace {

constexpr int kRuns = 3;

// What both sides compute: here, and as C in kFunctions.
// Numerical Recipes' linear congruential generator, of which the upper bits are used.
std::uint32_t draw(std::uint32_t& seed, std::uint32_t count) {
  seed = seed * 1664525U + 1013904223U;
  return static_cast<std::uint32_t>((std::uint64_t{seed} * count) >> 32);
}

// One step of FNV-1a on words: one-to-one in the sum and in the word.
std::uint32_t added(std::uint32_t sum, std::uint32_t word) { return (sum ^ word) * 16777619U; }

constexpr std::uint32_t kFirstSeed = 1, kEmptySum = 2166136261U;

constexpr std::string_view kFunctions = R"(/* The next of `count` numbers from 0 on. */
static uint32_t @_selftest_draw(uint32_t *seed, uint32_t count) {
  *seed = *seed * UINT32_C(1664525) + UINT32_C(1013904223);
  return (uint32_t)(((uint64_t)*seed * count) >> 32);
}

/* A sum of words that changes where one of them does. */
static void @_selftest_add(uint32_t *sum, uint32_t word) {
  *sum = (*sum ^ word) * UINT32_C(16777619);
}
)";

// The codes of a format, `count` of them from `first` on.
struct Codes {
  std::int64_t first = 0, step = 1;
  std::uint32_t count = 0;
};

Codes codes_of(const Format& format) {
  const IntegerRange range = format.integer_range();
  if (format == Format::parse("bipolar")) return {-1, 2, 2};
  const Int128 count = Int128{range.max} - range.min + 1;
  return {range.min, 1, static_cast<std::uint32_t>(std::min(count, Int128{UINT32_MAX}))};
}

std::vector<std::uint32_t> expected_sums(const Module& module) {
  const Graph& graph = module.main();
  std::vector<Tensor> states = initial_states(module);
  std::vector<std::uint32_t> sums;
  std::uint32_t seed = kFirstSeed;
  for (int run = 0; run < kRuns; ++run) {
    std::vector<Tensor> inputs;
    for (const ValueId input : graph.inputs) {
      const TensorType& type = graph.values[input].type;
      const auto [first, step, count] = codes_of(type.format);
      std::vector<std::int64_t> values(
          static_cast<std::size_t>(element_count(type.static_shape())));
      for (std::int64_t& value : values) value = first + step * std::int64_t{draw(seed, count)};
      inputs.push_back(Tensor::from_integers(type.format, type.static_shape(), values));
    }
    std::uint32_t sum = kEmptySum;
    for (const Tensor& output : evaluate(module, graph, inputs, &states)) {
      const bool is_wide = storage_bytes(output.format().storage()) == 8;
      for (const std::int64_t value : output.to_integers()) {
        const auto bits = static_cast<std::uint64_t>(value);
        sum = added(sum, static_cast<std::uint32_t>(bits));
        if (is_wide) sum = added(sum, static_cast<std::uint32_t>(bits >> 32));
      }
    }
    sums.push_back(sum);
  }
  return sums;
}

class SelftestWriter {
 public:
  SelftestWriter(const Module& module, IoPlace io, const std::string& name)
      : module_(module),
        graph_(module.main()),
        in_arena_(io == IoPlace::kArena),
        name_(name),
        interface_(c_interface(graph_)) {}

  std::string header() const {
    const std::string guard = c_macro(name_ + "_selftest.h");
    return concat(
        "#ifndef ", guard, "\n#define ", guard,
        "\n\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n#define ", c_macro(name_),
        "_SELFTEST_RUNS ", kRuns, "\n\n/* Runs ", name_,
        " on made-up inputs; 0: all outputs are those of the reference, else the number of the\n"
        "   first run, from 1 on, with another one. ",
        module_.states.empty() ? "" : "Resets the states before and after. ",
        "Not reentrant, as the network. */\nint ", name_,
        "_selftest(void);\n\n#ifdef __cplusplus\n}\n#endif\n\n#endif /* ", guard, " */\n");
  }

  std::string source() const {
    std::vector<std::string> sums;
    for (const std::uint32_t sum : expected_sums(module_))
      sums.push_back(concat("UINT32_C(", sum, ")"));
    const std::string reset = module_.states.empty() ? "" : concat("  ", name_, "_reset();\n");
    return concat("#include \"", name_, "_selftest.h\"\n\n#include \"", name_, ".h\"\n\n",
                  functions(), "\nint ", name_, "_selftest(void) {\n", wrapped(places()),
                  "  static const uint32_t expected[", c_macro(name_),
                  "_SELFTEST_RUNS] = {\n      ", join(sums, ",\n      "),
                  "};\n  uint32_t seed = ", kFirstSeed,
                  "u;\n  int32_t i;\n  int run;\n  int differing = 0;\n", reset,
                  "  for (run = 0; run < ", c_macro(name_),
                  "_SELFTEST_RUNS && differing == 0; ++run) {\n", "    uint32_t sum = UINT32_C(",
                  kEmptySum, ");\n", wrapped(concat(fills(), call(), checks())),
                  "    if (sum != expected[run]) {\n      differing = run + 1;\n    }\n  }\n",
                  reset, "  return differing;\n}\n");
  }

 private:
  std::string functions() const {
    std::string text(kFunctions);
    for (std::size_t at = text.find('@'); at != std::string::npos; at = text.find('@', at))
      text.replace(at, 1, name_);
    return text;
  }

  std::string size(const CParameter& end) const {
    return concat(c_macro(name_), "_", end.macro, "_SIZE");
  }

  // Pointers into the arena, or arrays.
  std::string places() const {
    std::string text;
    const auto add = [&](const CParameter& end, const std::string& local, const char* constant) {
      text += in_arena_ ? concat("  ", constant, end.type, " *const ", local, " = ", name_, "_",
                                 end.accessor, "();\n")
                        : concat("  static ", end.type, " ", local, "[", size(end), "];\n");
    };
    for (const CParameter& end : interface_.inputs) add(end, "in_" + end.name, "");
    for (const CParameter& end : interface_.outputs) add(end, "out_" + end.name, "const ");
    return text;
  }

  std::string loop(const CParameter& end, const std::string& body) const {
    return concat("    for (i = 0; i < ", size(end), "; ++i) {\n", body, "    }\n");
  }

  std::string fills() const {
    std::string text;
    for (std::size_t i = 0; i < interface_.inputs.size(); ++i) {
      const CParameter& end = interface_.inputs[i];
      const auto [first, step, count] = codes_of(graph_.values[graph_.inputs[i]].type.format);
      const std::string from = first == 0           ? ""
                               : first == INT64_MIN ? " + " + c_literal(first, Storage::kI64)
                               : first < 0          ? concat(" - ", -first)
                                                    : concat(" + ", first);
      text += loop(end, concat("      in_", end.name, "[i] = (", end.type, ")(",
                               step == 1 ? "" : concat(step, " * "), "(int64_t)", name_,
                               "_selftest_draw(&seed, UINT32_C(", count, "))", from, ");\n"));
    }
    return text;
  }

  std::string call() const {
    std::vector<std::string> arguments;
    if (!in_arena_) {
      for (const CParameter& end : interface_.inputs) arguments.push_back("in_" + end.name);
      for (const CParameter& end : interface_.outputs) arguments.push_back("out_" + end.name);
    }
    return concat("    ", name_, "_run(", join(arguments, ", "), ");\n");
  }

  std::string checks() const {
    std::string text;
    for (const CParameter& end : interface_.outputs) {
      const std::string value = concat("out_", end.name, "[i]");
      std::string body = concat("      ", name_, "_selftest_add(&sum, (uint32_t)", value, ");\n");
      if (end.bytes == 8 * end.elements)
        body += concat("      ", name_, "_selftest_add(&sum, (uint32_t)((uint64_t)", value,
                       " >> 32));\n");
      text += loop(end, body);
    }
    return text;
  }

  const Module& module_;
  const Graph& graph_;
  bool in_arena_;
  const std::string& name_;
  CInterface interface_;
};

}  // namespace

Artifacts c_selftest(const Module& module, IoPlace io, const std::string& name) {
  const SelftestWriter writer(module, io, name);
  return {{name + "_selftest.h", writer.header()}, {name + "_selftest.c", writer.source()}};
}

}  // namespace tandem
