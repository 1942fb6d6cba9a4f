#include "tandem/emit/c_target.h"

#include <algorithm>
#include <cctype>
#include <set>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/emit/c_printer.h"
#include "tandem/emit/c_project.h"
#include "tandem/emit/c_words.h"
#include "tandem/graph/operator.h"
#include "tandem/plan/mcu_plan.h"

namespace tandem {
namespace {

constexpr std::int64_t kMostBytes = std::int64_t{1} << 31;

// By buffer: the name of its member of the arena, or of its constant without the prefix.
std::vector<std::string> member_names(const Plan& plan) {
  std::vector<std::string> names, taken;
  for (const Buffer& buffer : plan.buffers) {
    names.push_back(c_name(buffer.name, taken));
    taken.push_back(names.back());
  }
  return names;
}

// What the names of a step and of its arrays are in C.
struct StepNames {
  std::string function;                 // net_fc1
  std::vector<std::string> arguments;   // of the call, and
  std::vector<std::string> parameters;  // of the definition: inputs, outputs, scratch
  std::vector<std::pair<std::string, std::string>> constants;  // array, its C name
};

class CWriter {
 public:
  CWriter(const Module& module, const Plan& plan, const std::string& name, const COptions& options)
      : module_(module),
        graph_(module.function(plan.function)),
        plan_(plan),
        name_(name),
        options_(options),
        programs_(step_programs(module, plan)),
        interface_(c_interface(graph_)) {
    const std::vector<std::string> members = member_names(plan);
    std::size_t inputs = 0, outputs = 0;
    for (std::size_t i = 0; i < plan.buffers.size(); ++i) {
      const BufferRole role = plan.buffers[i].role;
      const CParameter* end = role == BufferRole::kInput    ? &interface_.inputs[inputs++]
                              : role == BufferRole::kOutput ? &interface_.outputs[outputs++]
                                                            : nullptr;
      if (end != nullptr) ends_.emplace_back(i, *end);
      addresses_.push_back(end != nullptr && !in_arena(i) ? end->name : members[i]);
    }
    alike_ = first_alike(plan, programs_);
    for (std::size_t i = 0; i < plan.steps.size(); ++i) names_.push_back(names_of(i));
  }

  Artifacts write() const {
    Artifacts artifacts = {{name_ + ".h", header()}, {name_ + ".c", source()}};
    if (has_constants()) {
      artifacts.push_back({name_ + "_weights.h", weights_header()});
      artifacts.push_back({name_ + "_weights.c", weights_source()});
    }
    if (options_.project)
      for (Artifact& artifact : c_project(module_, plan_.io, name_, has_constants()))
        artifacts.push_back(std::move(artifact));
    return artifacts;
  }

 private:
  bool has_constants() const {
    return std::ranges::any_of(names_, [](const StepNames& n) { return !n.constants.empty(); });
  }

  bool in_arena(std::size_t buffer) const { return tandem::in_arena(plan_, plan_.buffers[buffer]); }

  // Where the bytes of a buffer are, in C.
  std::string address_of(std::size_t buffer) const {
    const std::string& name = addresses_[buffer];
    return in_arena(buffer) ? concat(name_, "_arena.", name, ".data") : name;
  }

  StepNames names_of(std::size_t index) const {
    const Step& step = plan_.steps[index];
    const LoopProgram& program = programs_[index];
    const std::vector<std::size_t> buffers = array_buffers(step, program);
    StepNames names;
    std::vector<std::string> taken = {"run",
                                      "arena",
                                      "trace",
                                      "needs_arithmetic_shifts",
                                      "word",
                                      "store_word",
                                      "signed_pair_0",
                                      "signed_pair_1",
                                      "unsigned_pair_0",
                                      "unsigned_pair_1",
                                      "dot2",
                                      "signed_byte",
                                      "unsigned_byte",
                                      "upper_word",
                                      "vector",
                                      "load_vector",
                                      "dot16"};
    for (std::size_t i = 0; i < plan_.buffers.size(); ++i)
      if (plan_.buffers[i].memory == "flash") taken.push_back(addresses_[i]);
    for (const auto& [buffer, end] : ends_) taken.push_back(end.accessor);
    for (const StepNames& other : names_) taken.push_back(other.function.substr(name_.size() + 1));
    const std::string what = step.nodes.empty()
                                 ? concat("copy_", plan_.buffers[step.writes[0]].name)
                                 : graph_.nodes[step.nodes[0]].name;
    names.function = alike_[index] == index ? concat(name_, "_", c_name(what, taken))
                                            : names_[alike_[index]].function;
    for (const ArrayRole role : {ArrayRole::kInput, ArrayRole::kOutput, ArrayRole::kScratch}) {
      for (std::size_t i = 0; i < program.arrays.size(); ++i) {
        const Array& array = program.arrays[i];
        if (array.role != role) continue;
        names.parameters.push_back(concat(role == ArrayRole::kInput ? "const " : "",
                                          c_type(array.storage), " *", array.name));
        const std::int64_t start = start_of(step, buffers[i]) / storage_bytes(array.storage);
        names.arguments.push_back(
            concat(address_of(buffers[i]), start == 0 ? "" : concat(" + ", start)));
      }
    }
    for (std::size_t i = 0; i < program.arrays.size(); ++i)
      if (program.arrays[i].is_constant())
        names.constants.emplace_back(program.arrays[i].name,
                                     concat(name_, "_", addresses_[buffers[i]]));
    return names;
  }

  std::string guard(const std::string& file) const {
    std::string text = file;
    std::ranges::transform(text, text.begin(), [](unsigned char c) {
      return std::isalnum(c) != 0 ? static_cast<char>(std::toupper(c)) : '_';
    });
    return text;
  }

  std::string run_signature() const {
    if (plan_.io == IoPlace::kArena) return concat("void ", name_, "_run(void)");
    std::vector<std::string> parameters;
    for (const CParameter& p : interface_.inputs)
      parameters.push_back(concat("const ", p.type, " *", p.name));
    for (const CParameter& p : interface_.outputs)
      parameters.push_back(concat(p.type, " *", p.name));
    return concat("void ", name_, "_run(", parameters.empty() ? "void" : join(parameters, ", "),
                  ")");
  }

  // Names that differ in the case of their letters only keep it.
  std::string macro_of(const std::string& parameter) const {
    int alike = 0;
    for (const auto* parameters : {&interface_.inputs, &interface_.outputs})
      for (const CParameter& other : *parameters) alike += guard(other.name) == guard(parameter);
    return concat(guard(name_), "_", alike > 1 ? parameter : guard(parameter));
  }

  std::string describe(const std::vector<ValueId>& values,
                       const std::vector<CParameter>& parameters, const std::string& kind) const {
    std::string text;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::string macro = macro_of(parameters[i].name);
      text += concat("/* ", kind, " ", i, ": '", graph_.values[values[i]].name, "', ",
                     graph_.values[values[i]].type.to_string(), ", row-major",
                     coding_text(values[i]), " */\n");
      text += concat("#define ", macro, "_SIZE ", parameters[i].elements, "\n");
      text += coding_macros(values[i], macro) + "\n";
    }
    return text;
  }

  std::string coding_text(ValueId value) const {
    const auto coding = graph_.codings.find(value);
    if (coding == graph_.codings.end()) return "";
    return "; real = SCALE * integer + OFFSET";
  }

  std::string coding_macros(ValueId value, const std::string& macro) const {
    const auto coding = graph_.codings.find(value);
    if (coding == graph_.codings.end()) return "";
    const auto define = [&](const std::string& what, ConstantId id) {
      if (id == kNone) return std::string();
      const Tensor& tensor = module_.constants[id].tensor;
      std::vector<std::string> numbers;
      for (const double number : tensor.to_reals()) numbers.push_back(shortest(number));
      if (numbers.size() == 1)
        return concat("#define ", macro, "_", what, " ", numbers.front(), "\n");
      // A continued line for each four numbers.
      std::string text = concat("#define ", macro, "_", what, " { \\\n  ");
      for (std::size_t i = 0; i < numbers.size(); ++i) {
        const bool last = i + 1 == numbers.size();
        text += concat(numbers[i], last ? " }\n" : i % 4 == 3 ? ", \\\n  " : ", ");
      }
      return text;
    };
    return define("SCALE", coding->second.scale) + define("OFFSET", coding->second.offset);
  }

  std::string header() const {
    const std::string macro = guard(name_ + ".h");
    std::string text = concat("/* The network ", name_, ", planned for ", plan_.device,
                              ".\n   Written by Tandem from its integer form; change that, not "
                              "this. */\n");
    text += concat("#ifndef ", macro, "\n#define ", macro, "\n\n#include <stdint.h>\n\n");
    text += describe(graph_.inputs, interface_.inputs, "input") +
            describe(graph_.outputs, interface_.outputs, "output");
    text += concat("/* Bytes of the one static arena and of the constants. */\n#define ",
                   guard(name_), "_ARENA_BYTES ", plan_.peak_bytes.at("sram"), "\n#define ",
                   guard(name_), "_CONSTANT_BYTES ", plan_.peak_bytes.at("flash"), "\n\n");
    text += "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n";
    text += run_declaration();
    if (options_.trace)
      text += concat("\n/* Called after each step with what it wrote. */\nvoid ", name_,
                     "_trace(int step, int write, const void *data, unsigned long bytes);\n");
    return text + concat("\n#ifdef __cplusplus\n}\n#endif\n\n#endif /* ", macro, " */\n");
  }

  std::string run_declaration() const {
    if (plan_.io == IoPlace::kCaller)
      return concat(
          "/* Runs the network once. Inputs and outputs must not overlap. Not reentrant: "
          "it works in\n   the static arena. */\n",
          wrapped(run_signature() + ";\n"));
    std::string text =
        "/* Where inputs are written before a run, and outputs are read after it. They share the "
        "bytes of\n   the static arena: a run overwrites its inputs, and writing the next inputs "
        "overwrites outputs. */\n";
    for (const auto& [buffer, end] : ends_) text += accessor_signature(buffer, end) + ";\n";
    return concat(text, "\n/* Runs the network once. Not reentrant. */\n", run_signature(), ";\n");
  }

  std::string accessor_signature(std::size_t buffer, const CParameter& end) const {
    const bool is_input = plan_.buffers[buffer].role == BufferRole::kInput;
    return concat(is_input ? "" : "const ", end.type, " *", name_, "_", end.accessor, "(void)");
  }

  std::string accessors() const {
    if (plan_.io == IoPlace::kCaller) return "";
    std::string text;
    for (const auto& [buffer, end] : ends_)
      text += concat(accessor_signature(buffer, end), " { return ", address_of(buffer), "; }\n");
    return text + "\n";
  }

  std::string arena() const {
    std::string members;
    for (std::size_t i = 0; i < plan_.buffers.size(); ++i) {
      const Buffer& buffer = plan_.buffers[i];
      if (!in_arena(i)) continue;
      const std::string gap =
          buffer.offset == 0 ? "" : concat("uint8_t gap[", buffer.offset, "]; ");
      members += concat("  struct { ", gap, c_type(buffer_storage(i)), " data[",
                        buffer.bytes * 8 / buffer.element_bits, "]; } ", addresses_[i], ";\n");
    }
    if (members.empty()) return "";
    return concat(
        "/* Values live at fixed places. Those that are never needed together share bytes; a step "
        "may also\n   overwrite what it has read for the last time. */\nstatic union {\n",
        members, "} ", name_, "_arena;\n\n");
  }

  Storage buffer_storage(std::size_t buffer) const {
    if (const ValueId value = plan_.buffers[buffer].value; value != kNone)
      return graph_.values[value].type.format.storage();
    for (std::size_t s = 0; s < plan_.steps.size(); ++s) {
      const std::vector<std::size_t> buffers = array_buffers(plan_.steps[s], programs_[s]);
      for (std::size_t i = 0; i < buffers.size(); ++i)
        if (buffers[i] == buffer) return programs_[s].arrays[i].storage;
    }
    throw InternalError(concat("no step uses buffer ", plan_.buffers[buffer].name));
  }

  std::string step_comment(std::size_t index) const {
    const Step& step = plan_.steps[index];
    std::vector<std::string> parts;
    for (const NodeId id : step.nodes)
      parts.push_back(concat(graph_.nodes[id].op->name(), " '", graph_.nodes[id].name, "'"));
    const std::string what = parts.empty() ? "copy of a value" : join(parts, ", ");
    const ValueId result = plan_.buffers[step.writes[0]].value;
    std::string text = concat("/* ", what);
    if (const auto rows = rows_of(step)) text += concat(", ", rows->count(), " rows");
    if (result != kNone) text += concat(" -> ", graph_.values[result].type.to_string());
    return wrapped(text + concat("; form ", step.form, " */\n"));
  }

  std::string function(std::size_t index) const {
    const StepNames& names = names_[index];
    const auto global = [&](const std::string& array) {
      for (const auto& [known, c_name] : names.constants)
        if (known == array) return c_name;
      return array;
    };
    const std::string signature =
        concat("void ", names.function, "(", join(names.parameters, ", "), ")");
    return concat(step_comment(index), wrapped(signature + ";\n"), wrapped(signature + " {\n"),
                  print_c(programs_[index].body, name_, global, 2), "}\n\n");
  }

  std::string call(std::size_t index) const {
    std::string text = wrapped(
        concat("  ", names_[index].function, "(", join(names_[index].arguments, ", "), ");\n"));
    if (!options_.trace) return text;
    const std::vector<std::size_t> completed = completed_values(plan_, index);
    for (std::size_t i = 0; i < completed.size(); ++i)
      text += concat("  ", name_, "_trace(", index, ", ", i, ", ", address_of(completed[i]), ", ",
                     plan_.buffers[completed[i]].bytes, ");\n");
    return text;
  }

  // Inputs that no step reads.
  std::string unused_inputs() const {
    std::string text;
    for (std::size_t i = 0; i < plan_.buffers.size(); ++i) {
      if (plan_.buffers[i].role != BufferRole::kInput || in_arena(i)) continue;
      const bool read = std::ranges::any_of(
          plan_.steps, [&](const Step& s) { return std::ranges::count(s.reads, i) > 0; });
      if (!read) text += concat("  (void)", addresses_[i], "; /* it does not matter */\n");
    }
    return text;
  }

  std::string source() const {
    std::string text = concat("#include \"", name_, ".h\"\n\n#include <string.h>\n\n");
    if (has_constants()) text += concat("#include \"", name_, "_weights.h\"\n\n");
    text += concat(
        "/* Right shifts below are floor divisions also of negative numbers. */\n"
        "typedef char ",
        name_, "_needs_arithmetic_shifts[((-3) >> 1) == -2 ? 1 : -1];\n\n");
    if (std::ranges::any_of(programs_, uses_words)) text += c_word_functions(name_);
    text += arena();
    text +=
        "/* The steps have external names, because a compiler merges static functions that are "
        "called once\n   into one, and runs out of registers in its inner loops. */\n\n";
    for (std::size_t i = 0; i < plan_.steps.size(); ++i)
      if (alike_[i] == i) text += function(i);
    text += accessors();
    text += wrapped(run_signature() + " {\n");
    text += unused_inputs();
    for (std::size_t i = 0; i < plan_.steps.size(); ++i) text += call(i);
    return text + "}\n";
  }

  // Calls visit(step, array, C name) for each constant; patches share theirs.
  template <typename Visit>
  void for_each_constant(Visit visit) const {
    std::set<std::string> seen;
    for (std::size_t s = 0; s < programs_.size(); ++s)
      for (const auto& [array, c_name] : names_[s].constants)
        if (seen.insert(c_name).second) visit(s, array, c_name);
  }

  std::string weights_header() const {
    const std::string macro = guard(name_ + "_weights.h");
    std::string text = concat("#ifndef ", macro, "\n#define ", macro,
                              "\n\n#include <stdint.h>\n\n#ifdef __cplusplus\nextern \"C\" {\n"
                              "#endif\n\n");
    for_each_constant([&](std::size_t s, const std::string& array, const std::string& c_name) {
      text += declaration(s, array, c_name, "extern ") + ";\n";
    });
    return text + concat("\n#ifdef __cplusplus\n}\n#endif\n\n#endif /* ", macro, " */\n");
  }

  std::string declaration(std::size_t step, const std::string& array, const std::string& c_name,
                          const std::string& linkage) const {
    const Array& content = constant(step, array);
    return concat(linkage, "const ", c_type(content.storage), " ", c_name, "[", content.size, "]");
  }

  const Array& constant(std::size_t step, const std::string& name) const {
    for (const Array& array : programs_[step].arrays)
      if (array.name == name) return array;
    throw InternalError(concat("no constant ", name));
  }

  // In a file of their own: a compiler that sees their values might fold some of them into code.
  std::string weights_source() const {
    std::string text = concat("#include \"", name_, "_weights.h\"\n");
    for_each_constant([&](std::size_t s, const std::string& array, const std::string& c_name) {
      text += concat("\n", declaration(s, array, c_name, ""), " = ",
                     c_initializer(constant(s, array)), ";\n");
    });
    return text;
  }

  const Module& module_;
  const Graph& graph_;
  const Plan& plan_;
  const std::string& name_;
  const COptions& options_;
  std::vector<LoopProgram> programs_;
  std::vector<std::size_t> alike_;  // by step: the one whose function it calls
  CInterface interface_;
  std::vector<std::pair<std::size_t, CParameter>> ends_;  // buffers of inputs, of outputs
  std::vector<std::string> addresses_;  // by buffer: parameter, member of the arena, or constant
  std::vector<StepNames> names_;
};

}  // namespace

CInterface c_interface(const Graph& graph) {
  CInterface interface;
  std::vector<std::string> taken;
  // Names of constants end in what they are, never in "_input", so that none is alike.
  const auto add = [&](const std::vector<ValueId>& values, const std::string& kind,
                       std::vector<CParameter>& parameters) {
    for (const ValueId id : values) {
      const TensorType& type = graph.values[id].type;
      const Storage storage = type.format.storage();
      const std::int64_t elements = element_count(type.static_shape());
      const std::string name = c_name(graph.values[id].name, taken);
      taken.push_back(name);
      const std::string accessor = values.size() == 1 ? kind : concat(name, "_", kind);
      parameters.push_back(
          {name, accessor, c_type(storage), elements, elements * storage_bytes(storage)});
    }
  };
  add(graph.inputs, "input", interface.inputs);
  add(graph.outputs, "output", interface.outputs);
  return interface;
}

std::map<std::string, BufferRole> c_constants(const Plan& plan, const std::string& name) {
  const std::vector<std::string> members = member_names(plan);
  std::map<std::string, BufferRole> constants;
  for (std::size_t i = 0; i < plan.buffers.size(); ++i)
    if (plan.buffers[i].memory == "flash")
      constants[concat(name, "_", members[i])] = plan.buffers[i].role;
  return constants;
}

std::vector<Issue> CTarget::check(const Module& module) const {
  const Graph& graph = module.main();
  std::vector<Issue> issues = sequential_issues(module, graph);
  for (const Value& value : graph.values) {
    if (!value.type.is_static()) continue;
    const std::int64_t bytes =
        element_count(value.type.static_shape()) * storage_bytes(value.type.format.storage());
    if (bytes >= kMostBytes)
      issues.push_back({value.name, "value", concat("its ", bytes, " bytes need 64-bit indices"),
                        "use smaller tensors"});
  }
  return issues;
}

Artifacts CTarget::emit(const Module& module, const Plan& plan, const std::string& name) const {
  throw_issues(check(module), "c");
  if (identifier(name) != name)
    throw Error("'", name, "' cannot start C names; use letters, digits and '_', for example '",
                identifier(name), "'");
  return CWriter(module, plan, name, options_).write();
}

}  // namespace tandem
