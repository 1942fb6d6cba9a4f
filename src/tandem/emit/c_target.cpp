#include "tandem/emit/c_target.h"

#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/emit/c_interface.h"
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
  std::string function;                 // net_fc1, or that of the form where others share it
  std::vector<std::string> arguments;   // of the call, and
  std::vector<std::string> parameters;  // of the definition: inputs, outputs, scratch; of shared
                                        // functions also constants and numbers that differ
  std::vector<std::pair<std::string, std::string>> constants;  // the others: array, its C name
};

// A state: the buffer of its old value, and what it starts as.
struct KeptInC {
  std::size_t buffer = 0;
  const Tensor* initial = nullptr;
};

class CWriter {
 public:
  CWriter(const Module& module, const Plan& plan, const std::string& name, const COptions& options)
      : module_(module),
        graph_(module.function(plan.function)),
        plan_(plan),
        name_(name),
        options_(options),
        functions_(step_functions(module, plan)),
        programs_(functions_.programs),
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
      if (plan.buffers[i].role == BufferRole::kState) add_state_buffer(i);
    }
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
  // The old and the new value of a state are at one place, which has the name of the old one.
  void add_state_buffer(std::size_t buffer) {
    const StateId state = graph_.values[plan_.buffers[buffer].value].state;
    for (const KeptInC& kept : states_) {
      if (plan_.buffers[kept.buffer].offset != plan_.buffers[buffer].offset) continue;
      addresses_[buffer] = addresses_[kept.buffer];
      return;
    }
    states_.push_back({buffer, &module_.constants[module_.states[state].initial].tensor});
  }

  bool has_constants() const {
    return std::ranges::any_of(plan_.buffers, [](const Buffer& b) { return b.memory == "flash"; });
  }

  bool in_arena(std::size_t buffer) const { return tandem::in_arena(plan_, plan_.buffers[buffer]); }

  // Where the bytes of a buffer are, in C.
  std::string address_of(std::size_t buffer) const {
    const std::string& name = addresses_[buffer];
    if (plan_.buffers[buffer].role == BufferRole::kState) return concat(name_, "_states.", name);
    return in_arena(buffer) ? concat(name_, "_arena.", name, ".data") : name;
  }

  StepNames names_of(std::size_t index) const {
    const Step& step = plan_.steps[index];
    const LoopProgram& program = programs_[index];
    const std::vector<std::size_t> buffers = array_buffers(step, program);
    StepNames names;
    std::vector<std::string> taken = c_word_names();
    for (const char* used : {"run", "reset", "arena", "states", "trace", "selftest",
                             "selftest_draw", "selftest_add", "needs_arithmetic_shifts"})
      taken.push_back(used);
    for (std::string& used : c_float_names(interface_)) taken.push_back(std::move(used));
    for (std::size_t i = 0; i < plan_.buffers.size(); ++i)
      if (plan_.buffers[i].memory == "flash") taken.push_back(addresses_[i]);
    for (const auto& [buffer, end] : ends_) taken.push_back(end.accessor);
    for (const StepNames& other : names_) taken.push_back(other.function.substr(name_.size() + 1));
    const StepCall& call = functions_.shared.calls[index];
    const std::vector<std::size_t>& users = functions_.shared.users[call.function];
    const bool runs_other_nodes = std::ranges::any_of(
        users, [&](std::size_t user) { return plan_.steps[user].nodes != step.nodes; });
    const std::string& node =
        step.nodes.empty() ? plan_.buffers[step.writes[0]].name : graph_.nodes[step.nodes[0]].name;
    const std::string what = runs_other_nodes               ? step.form
                             : step.kind == StepKind::kMove ? concat("copy_", node)
                                                            : node;
    names.function = users.front() < index ? names_[users.front()].function
                                           : concat(name_, "_", c_name(what, taken));
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
    const std::vector<std::size_t>& passed = functions_.shared.passed[call.function];
    for (std::size_t i = 0; i < program.arrays.size(); ++i) {
      const Array& array = program.arrays[i];
      if (!array.is_constant()) continue;
      if (std::ranges::find(passed, i) == passed.end()) {
        names.constants.emplace_back(array.name, constant_name(buffers[i]));
        continue;
      }
      names.parameters.push_back(concat("const ", c_type(array.storage), " *", array.name));
      names.arguments.push_back(constant_name(buffers[i]));
    }
    for (std::size_t i = 0; i < call.arguments.size(); ++i) {
      names.parameters.push_back("int32_t " + program.parameters[i]);
      names.arguments.push_back(std::to_string(call.arguments[i]));
    }
    return names;
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

  std::string header() const {
    const std::string macro = c_macro(name_ + ".h");
    std::string text = concat("/* The network ", name_, ", planned for ", plan_.device,
                              ".\n   Written by Tandem from its integer form; change that, not "
                              "this. */\n");
    text += concat("#ifndef ", macro, "\n#define ", macro, "\n\n#include <stdint.h>\n\n");
    text += c_interface_macros(module_, graph_, name_);
    text += concat("/* Bytes of the one static arena and of the constants. */\n#define ",
                   c_macro(name_), "_ARENA_BYTES ", plan_.peak_bytes.at("sram"), "\n#define ",
                   c_macro(name_), "_CONSTANT_BYTES ", plan_.peak_bytes.at("flash"), "\n");
    if (!states_.empty())
      text += concat("/* Bytes of what is kept from run to run. */\n#define ", c_macro(name_),
                     "_STATE_BYTES ", state_bytes(plan_), "\n");
    text += "\n";
    text += "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n";
    text += c_float_functions(module_, graph_, name_) + run_declaration();
    if (!module_.states.empty())
      text += concat(
          "\n/* Starts a new stream: the next run sees the initial states, as the first one does. "
          "*/\nvoid ",
          name_, "_reset(void);\n");
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

  std::string section(std::string_view what) const {
    return concat(c_macro(name_), "_", what, "_SECTION");
  }

  std::string section_macro(std::string_view what, std::string_view described) const {
    return concat("/* Where ", described, " lie", described.ends_with("s") ? "" : "s",
                  ": an attribute, such as __attribute__((section(\".dtcm\"))). */\n#ifndef ",
                  section(what), "\n#define ", section(what), "\n#endif\n\n");
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
        section_macro("ARENA", "the arena"),
        "/* Values live at fixed places. Those that are never needed together share bytes; a step "
        "may also\n   overwrite what it has read for the last time. */\nstatic union {\n",
        members, "} ", name_, "_arena ", section("ARENA"), ";\n\n");
  }

  // A flag instead of initializers: those would take the bytes of the states in flash once more.
  std::string states() const {
    if (module_.states.empty()) return "";
    if (states_.empty()) return concat("void ", name_, "_reset(void) {}\n\n");  // none is read
    std::string members, resets;
    for (const KeptInC& kept : states_) {
      const std::string& member = addresses_[kept.buffer];
      members += concat("  ", c_type(kept.initial->format().storage()), " ", member, "[",
                        kept.initial->size(), "];\n");
      resets += reset(kept, concat(name_, "_states.", member));
    }
    const bool counts = resets.find("for (i") != std::string::npos;
    return concat(
        section_macro("STATES", "the states"),
        "/* What is kept from run to run, and whether it was ever set. */\nstatic struct {\n",
        members, "  uint8_t is_set;\n} ", name_, "_states ", section("STATES"), ";\n\nvoid ", name_,
        "_reset(void) {\n", counts ? "  int32_t i;\n" : "", resets, "  ", name_,
        "_states.is_set = 1;\n}\n\n");
  }

  // Sets a state to its initial value: a constant, or one number.
  std::string reset(const KeptInC& kept, const std::string& state) const {
    for (std::size_t i = 0; i < plan_.buffers.size(); ++i)
      if (is_initial(i, kept))
        return wrapped(concat("  (void)memcpy(", state, ", ", name_, "_", addresses_[i],
                              ", sizeof ", state, ");\n"));
    const Storage storage = kept.initial->format().storage();
    const std::string value = c_literal(kept.initial->integer(0), storage);
    return wrapped(concat("  for (i = 0; i < ", kept.initial->size(), "; ++i) {\n    ", state,
                          "[i] = ", value, ";\n  }\n"));
  }

  bool is_initial(std::size_t buffer, const KeptInC& kept) const {
    return plan_.buffers[buffer].role == BufferRole::kTable &&
           plan_.buffers[buffer].value == plan_.buffers[kept.buffer].value;
  }

  // The constants that no step reads: array, C name.
  std::vector<std::pair<Array, std::string>> initial_values() const {
    std::vector<std::pair<Array, std::string>> constants;
    for (const KeptInC& kept : states_) {
      for (std::size_t i = 0; i < plan_.buffers.size(); ++i) {
        if (!is_initial(i, kept)) continue;
        Array array;
        array.role = ArrayRole::kTable;
        array.storage = kept.initial->format().storage();
        array.size = kept.initial->size();
        array.values = kept.initial->to_integers();
        constants.emplace_back(array, constant_name(i));
      }
    }
    return constants;
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
    const std::string what = parts.empty() ? "copy of a value"
                             : step.kind == StepKind::kMove
                                 ? concat("copy of what is computed by ", join(parts, ", "))
                                 : join(parts, ", ");
    const ValueId result = plan_.buffers[step.writes[0]].value;
    std::string text = concat("/* ", what);
    if (const auto rows = rows_of(step)) text += concat(", ", rows->count(), " rows");
    if (result != kNone) text += concat(" -> ", graph_.values[result].type.to_string());
    return wrapped(text + concat("; form ", step.form, " */\n"));
  }

  std::string function(const std::vector<std::size_t>& users) const {
    const StepNames& names = names_[users.front()];
    const auto global = [&](const std::string& array) {
      for (const auto& [known, c_name] : names.constants)
        if (known == array) return c_name;
      return array;
    };
    const std::string signature =
        concat("void ", names.function, "(", join(names.parameters, ", "), ")");
    std::vector<std::string> comments;
    for (const std::size_t user : users) {
      std::string comment = step_comment(user);
      if (std::ranges::find(comments, comment) == comments.end())
        comments.push_back(std::move(comment));
    }
    return concat(join(comments, ""), wrapped(signature + ";\n"), wrapped(signature + " {\n"),
                  print_c(programs_[users.front()].body, name_, global, 2), "}\n\n");
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
    std::string steps;
    for (const std::vector<std::size_t>& users : functions_.shared.users) steps += function(users);
    text += c_word_functions(name_, steps);
    text += arena() + states();
    text +=
        "/* The steps have external names, because a compiler merges static functions that are "
        "called once\n   into one, and runs out of registers in its inner loops. */\n\n";
    text += steps + accessors();
    text += wrapped(run_signature() + " {\n");
    if (!states_.empty())
      text += concat("  if (", name_, "_states.is_set == 0) {\n    ", name_, "_reset();\n  }\n");
    text += unused_inputs();
    for (std::size_t i = 0; i < plan_.steps.size(); ++i) text += call(i);
    return text + "}\n";
  }

  std::string weights_header() const {
    const std::string macro = c_macro(name_ + "_weights.h");
    std::string text = concat("#ifndef ", macro, "\n#define ", macro,
                              "\n\n#include <stdint.h>\n\n#ifdef __cplusplus\nextern \"C\" {\n"
                              "#endif\n\n");
    for (const auto& [array, c_name] : constants())
      text += declaration(array, c_name, "extern ") + ";\n";
    return text + concat("\n#ifdef __cplusplus\n}\n#endif\n\n#endif /* ", macro, " */\n");
  }

  std::string declaration(const Array& array, const std::string& c_name,
                          const std::string& linkage) const {
    return concat(linkage, "const ", c_type(array.storage), " ", c_name, "[", array.size, "]");
  }

  // All constants with their C names; patches share theirs.
  std::vector<std::pair<Array, std::string>> constants() const {
    std::vector<std::pair<Array, std::string>> all;
    std::vector<bool> known(plan_.buffers.size(), false);
    for (std::size_t s = 0; s < programs_.size(); ++s) {
      const std::vector<std::size_t> buffers = array_buffers(plan_.steps[s], programs_[s]);
      for (std::size_t i = 0; i < buffers.size(); ++i) {
        const Array& array = programs_[s].arrays[i];
        if (!array.is_constant() || known[buffers[i]]) continue;
        known[buffers[i]] = true;
        all.emplace_back(array, constant_name(buffers[i]));
      }
    }
    for (auto& initial : initial_values()) all.push_back(std::move(initial));
    return all;
  }

  std::string constant_name(std::size_t buffer) const {
    return concat(name_, "_", addresses_[buffer]);
  }

  // In a file of their own: a compiler that sees their values might fold some of them into code.
  std::string weights_source() const {
    std::string text =
        concat("#include \"", name_, "_weights.h\"\n\n", section_macro("WEIGHTS", "the constants"));
    for (const auto& [array, c_name] : constants())
      text +=
          concat(wrapped(concat(declaration(array, c_name, ""), " ", section("WEIGHTS"), " = {")),
                 c_initializer(array).substr(1), ";\n\n");
    text.pop_back();
    return text;
  }

  const Module& module_;
  const Graph& graph_;
  const Plan& plan_;
  const std::string& name_;
  const COptions& options_;
  StepFunctions functions_;
  const std::vector<LoopProgram>& programs_;
  CInterface interface_;
  std::vector<std::pair<std::size_t, CParameter>> ends_;  // buffers of inputs, of outputs
  std::vector<KeptInC> states_;
  std::vector<std::string> addresses_;  // by buffer: parameter, member of the arena, or constant
  std::vector<StepNames> names_;
};

}  // namespace

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
