#include "tandem/emit/verilog.h"

#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/emit/verilog_bench.h"
#include "tandem/emit/verilog_memory.h"
#include "tandem/emit/verilog_stages.h"
#include "tandem/emit/verilog_text.h"
#include "tandem/plan/dataflow.h"

namespace tandem {
namespace {

using verilog::counter_bits;
using verilog::literal;
using verilog::vector_of;

class TopWriter {
 public:
  TopWriter(const Pipeline& pipeline, const std::string& name) : pipeline_(pipeline), name_(name) {}

  std::string text() {
    write_inputs();
    write_outputs();
    for (StreamId id = 0; id < pipeline_.streams.size(); ++id) write_stream(id);
    std::string modules = verilog::fifo_modules(name_) + verilog::narrow_module(name_);
    for (const Stage& stage : pipeline_.stages) {
      const std::string module = name_ + "_" + stage.name;
      const std::string body = verilog::stage_module(module, pipeline_, stage);
      if (body.empty()) continue;
      modules += body;
      write_instance(module, stage);
    }
    return concat("// ", name_,
                  ": a network as a pipeline of streaming stages.\n"
                  "`default_nettype none\n/* verilator lint_off DECLFILENAME */\n"
                  "/* verilator lint_off WIDTH */\n/* verilator lint_off UNUSED */\n\n",
                  modules, "module ", name_, " (\n  input  wire  aclk,\n  input  wire  aresetn,\n",
                  ports_, "  output logic misframed\n);\n  wire rst = ~aresetn;\n", body_, taps_,
                  "endmodule\n\n`default_nettype wire\n");
  }

 private:
  const Stream& stream(StreamId id) const { return pipeline_.streams[id]; }

  static std::string wires(const std::string& name, std::int64_t bits) {
    return concat("  wire ", vector_of(bits), name, "_data;\n  wire ", name, "_valid, ", name,
                  "_ready;\n");
  }

  // Counts the beats of a frame; `last` is high at its last beat.
  std::string frame_counter(const std::string& name, std::int64_t beats, const std::string& moves) {
    if (beats == 1) return concat("  wire ", name, "_last = 1'b1;\n");
    const int bits = counter_bits(beats - 1);
    return concat("  logic ", vector_of(bits), name, "_beat;\n  wire ", name, "_last = ", name,
                  "_beat == ", literal(beats - 1, bits),
                  ";\n  always_ff @(posedge aclk)\n    if (rst) ", name,
                  "_beat <= ", literal(0, bits), ";\n    else if (", moves, ") ", name,
                  "_beat <= ", name, "_last ? ", literal(0, bits), " : ", name, "_beat + ",
                  literal(1, bits), ";\n");
  }

  void write_inputs() {
    std::string wrong;
    const auto inputs = axis_inputs(pipeline_);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const AxisPort& in = inputs[i];
      const std::string axis = concat("s_axis_in", i), to = concat("s", in.stream, "_in");
      ports_ += concat("  // input ", i, ": ", in.lanes, " x ", in.format.name(), " per beat, ",
                       in.beats, " beats per frame\n  input  wire  ", vector_of(8 * in.bytes()),
                       axis, "_tdata,\n  input  wire  ", axis, "_tvalid,\n  output wire  ", axis,
                       "_tready,\n  input  wire  ", axis, "_tlast,\n");
      taps_ +=
          concat("  assign ", to, "_data = ", axis, "_tdata[", in.bits() - 1, ":0];\n  assign ", to,
                 "_valid = ", axis, "_tvalid;\n  assign ", axis, "_tready = ", to, "_ready;\n");
      const std::string moves = concat(axis, "_tvalid & ", axis, "_tready");
      taps_ += frame_counter(concat("in", i), in.beats, moves);
      wrong += concat(i == 0 ? "" : " | ", "(", moves, " & (", axis, "_tlast != in", i, "_last))");
    }
    taps_ += concat(
        "  always_ff @(posedge aclk)\n    if (rst) misframed <= 1'b0;\n"
        "    else if (",
        wrong, ") misframed <= 1'b1;\n");
  }

  void write_outputs() {
    const auto outputs = axis_outputs(pipeline_);
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      const AxisPort& out = outputs[i];
      const std::string axis = concat("m_axis_out", i), from = concat("s", out.stream, "_out");
      const std::int64_t padding = 8 * out.bytes() - out.bits();
      ports_ += concat("  // output ", i, ": ", out.lanes, " x ", out.format.name(), " per beat, ",
                       out.beats, " beats per frame\n  output wire  ", vector_of(8 * out.bytes()),
                       axis, "_tdata,\n  output wire  ", axis, "_tvalid,\n  input  wire  ", axis,
                       "_tready,\n  output wire  ", axis, "_tlast,\n");
      const std::string data =
          padding == 0 ? from + "_data" : concat("{", literal(0, padding), ", ", from, "_data}");
      taps_ +=
          concat("  assign ", axis, "_tdata = ", data, ";\n  assign ", axis, "_tvalid = ", from,
                 "_valid;\n  assign ", from, "_ready = ", axis, "_tready;\n");
      taps_ +=
          frame_counter(concat("out", i), out.beats, concat(axis, "_tvalid & ", axis, "_tready"));
      taps_ += concat("  assign ", axis, "_tlast = out", i, "_last;\n");
    }
  }

  // The FIFO between s<i>_in and s<i>_out, with the narrowing behind it.
  void write_stream(StreamId id) {
    const Stream& s = stream(id);
    const std::string in = concat("s", id, "_in"), out = concat("s", id, "_out");
    const std::string held = s.narrow > 1 ? concat("s", id, "_held") : out;
    body_ += wires(in, s.bits()) + wires(out, s.read_lanes() * s.format.bits());
    if (s.narrow > 1) body_ += wires(held, s.bits());
    std::string kind = "_fifo", depth = concat(", .DEPTH(", s.capacity, ")");
    if (s.capacity <= 2) {
      kind = s.capacity == 1 ? "_fifo_one" : "_fifo_two";
      depth.clear();
    }
    const auto connect = [&](const std::string& from, const std::string& to) {
      return concat(".clk(aclk), .rst(rst), .in_data(", from, "_data), .in_valid(", from,
                    "_valid), .in_ready(", from, "_ready), .out_data(", to, "_data), .out_valid(",
                    to, "_valid), .out_ready(", to, "_ready)");
    };
    body_ += concat("  ", name_, kind, " #(.BITS(", s.bits(), ")", depth, ") fifo_", id, " (",
                    connect(in, held), ");\n");
    if (s.narrow > 1) {
      body_ += concat("  ", name_, "_narrow #(.BITS(", s.read_lanes() * s.format.bits(),
                      "), .RATIO(", s.narrow, ")) narrow_", id, " (", connect(held, out), ");\n");
    }
  }

  void write_instance(const std::string& module, const Stage& stage) {
    std::string ports = ".clk(aclk), .rst(rst)";
    const auto connect = [&](const std::string& port, const std::string& wire) {
      ports += concat(", .", port, "_data(", wire, "_data), .", port, "_valid(", wire, "_valid), .",
                      port, "_ready(", wire, "_ready)");
    };
    for (std::size_t i = 0; i < stage.inputs.size(); ++i)
      connect(concat("in", i), concat("s", stage.inputs[i], "_out"));
    for (std::size_t i = 0; i < stage.outputs.size(); ++i)
      connect(concat("out", i), concat("s", stage.outputs[i], "_in"));
    body_ += concat("  ", module, " ", stage.name, "_stage (", ports, ");\n");
  }

  const Pipeline& pipeline_;
  const std::string& name_;
  std::string ports_, body_, taps_;
};

template <typename Body>
std::vector<const Stage*> by_port(const Pipeline& pipeline) {
  std::vector<const Stage*> found;
  for (const Stage& stage : pipeline.stages) {
    const auto* body = std::get_if<Body>(&stage.body);
    if (body == nullptr) continue;
    if (found.size() <= body->port) found.resize(body->port + 1, nullptr);
    found[body->port] = &stage;
  }
  return found;
}

}  // namespace

std::vector<AxisPort> axis_inputs(const Pipeline& pipeline) {
  std::vector<AxisPort> ports;
  for (const Stage* stage : by_port<SourceStage>(pipeline)) {
    const Stream& stream = pipeline.streams[stage->outputs.at(0)];
    ports.push_back({stage->outputs[0], stream.format, stream.lanes, stream.beats});
  }
  return ports;
}

std::vector<AxisPort> axis_outputs(const Pipeline& pipeline) {
  std::vector<AxisPort> ports;
  for (const Stage* stage : by_port<SinkStage>(pipeline)) {
    const Stream& stream = pipeline.streams[stage->inputs.at(0)];
    ports.push_back({stage->inputs[0], stream.format, stream.read_lanes(), stream.read_beats()});
  }
  return ports;
}

std::string verilog_of(const Pipeline& pipeline, const std::string& name) {
  return TopWriter(pipeline, name).text();
}

std::vector<Issue> CircuitTarget::check(const Module& module) const {
  return check_dataflow(module);
}

Artifacts CircuitTarget::emit(const Module& module, const Plan& plan,
                              const std::string& name) const {
  throw_issues(check(module), "circuit");
  const Pipeline pipeline = build_pipeline(module, plan);
  Artifacts files = verilog_bench(module, pipeline, name);
  files.insert(files.begin(), {name + ".sv", verilog_of(pipeline, name)});
  return files;
}

}  // namespace tandem
