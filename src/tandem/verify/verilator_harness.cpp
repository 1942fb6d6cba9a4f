#include "tandem/verify/verilator_harness.h"

#include "tandem/base/error.h"

namespace tandem {
namespace {

constexpr const char* kHarnessIncludes =
    "#include <algorithm>\n#include <cstdint>\n#include <cstdio>\n#include <cstdlib>\n"
    "#include <cstring>\n#include <string>\n#include <vector>\n\n#include \"Vbatch.h\"\n"
    "#include \"verilated.h\"\n\n";

constexpr const char* kHarnessHead =
    R"cpp(namespace {

          std::uint64_t mix(std::uint64_t x) {
            x += 0x9e3779b97f4a7c15u;
            x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
            x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
            return x ^ (x >> 31);
          }

          // Whether a port pauses in a cycle: for 64 cycles at a time never, half of the time, or
          // mostly.
          bool pauses(std::uint64_t seed, int port, std::int64_t cycle) {
            if (seed == 0) return false;
            const std::uint64_t stream = mix(seed ^ mix(static_cast<std::uint64_t>(port)));
            const std::uint64_t mood = mix(stream ^ static_cast<std::uint64_t>(cycle >> 6)) % 3;
            const std::uint64_t draw = mix(stream + 0x100000000u + static_cast<std::uint64_t>(cycle)) % 8;
            return mood == 0 ? false : mood == 1 ? draw < 4 : draw < 7;
          }

          // A port of the model: where its bytes lie and how many belong to it. Only tdata is wider
          // than one.
          struct Port {
            void* data;
            std::size_t size;
          };

          struct Input {
            Port data;
            CData *valid, *last, *ready;
            int bytes;           // of a beat
            std::int64_t beats;  // of a frame
            std::string content = {};
            std::int64_t at = 0, total = 0;
            bool offered = false;
          };

          struct Output {
            Port data;
            CData *valid, *last, *ready;
            int bytes;
            std::int64_t beats;
            std::string content = {};
            std::int64_t at = 0, total = 0;
            bool pending = false, taking = false;
            std::string held = {};
          };

          struct Circuit {
            const char* name;
            std::vector<Input> inputs;
            std::vector<Output> outputs;
            CData* misframed;
            std::int64_t samples = 0, first_input = -1;
            std::vector<std::int64_t> ends;
          };

          [[noreturn]] void fail(const Circuit& circuit, const char* what, std::int64_t cycle) {
            std::fprintf(stderr, "circuit %s: %s in cycle %lld\n", circuit.name, what,
                         static_cast<long long>(cycle));
            std::exit(1);
          }

          void offer(Circuit& circuit, std::uint64_t seed, int& port, std::int64_t cycle) {
            for (Input& in : circuit.inputs) {
              ++port;
              if (!in.offered) in.offered = in.at < in.total && !pauses(seed, port, cycle);
              *in.valid = in.offered;
              if (!in.offered) continue;
              std::memset(in.data.data, 0, in.data.size);
              std::memcpy(in.data.data, in.content.data() + in.at * in.bytes, in.bytes);
              *in.last = in.at % in.beats == in.beats - 1;
            }
            for (Output& out : circuit.outputs) {
              ++port;
              // Beats of a frame beyond the last one wanted stay offered.
              out.taking = out.at < out.total && !pauses(seed, port, cycle);
              *out.ready = out.taking;
            }
          }

          // Looks at the handshakes of this cycle; returns whether any beat moved.
          bool observe(Circuit& circuit, std::int64_t cycle) {
            bool moved = false;
            for (Input& in : circuit.inputs) {
              if (!in.offered || *in.ready == 0) continue;
              if (circuit.first_input < 0) circuit.first_input = cycle;
              ++in.at;
              in.offered = false;
              moved = true;
            }
            bool ended = false;
            for (Output& out : circuit.outputs) {
              std::string beat(static_cast<std::size_t>(out.bytes), '\0');
              const bool valid = *out.valid != 0;
              if (valid) std::memcpy(beat.data(), out.data.data, out.bytes);
              if (out.pending && (!valid || beat != out.held))
                fail(circuit, "an offered beat changed", cycle);
              out.pending = valid && !out.taking;
              out.held = beat;
              if (!valid || !out.taking) continue;
              if ((*out.last != 0) != (out.at % out.beats == out.beats - 1))
                fail(circuit, "wrong tlast", cycle);
              out.content += beat;
              moved = ended = true;
              ++out.at;
            }
            if (*circuit.misframed != 0) fail(circuit, "misframed", cycle);
            if (ended) {
              std::int64_t frames = circuit.samples;
              for (const Output& out : circuit.outputs) frames = std::min(frames, out.at / out.beats);
              while (static_cast<std::int64_t>(circuit.ends.size()) < frames) circuit.ends.push_back(cycle);
            }
            return moved;
          }

          std::int64_t read_integer(std::FILE* file) {
            std::int64_t value = 0;
            if (std::fread(&value, 8, 1, file) != 1) std::exit(2);
            return value;
          }

          void read_inputs(std::vector<Circuit>& circuits, const char* path) {
            std::FILE* file = std::fopen(path, "rb");
            if (file == nullptr) std::exit(2);
            for (Circuit& circuit : circuits) {
              circuit.samples = read_integer(file);
              for (Input& in : circuit.inputs) {
                in.total = circuit.samples * in.beats;
                in.content.resize(static_cast<std::size_t>(in.total * in.bytes));
                if (std::fread(in.content.data(), 1, in.content.size(), file) != in.content.size())
                  std::exit(2);
              }
              for (Output& out : circuit.outputs) out.total = circuit.samples * out.beats;
            }
            std::fclose(file);
          }

          void write_outputs(const std::vector<Circuit>& circuits, const char* path) {
            std::FILE* file = std::fopen(path, "wb");
            if (file == nullptr) std::exit(2);
            for (const Circuit& circuit : circuits) {
              std::fwrite(&circuit.first_input, 8, 1, file);
              std::fwrite(circuit.ends.data(), 8, circuit.ends.size(), file);
              for (const Output& out : circuit.outputs)
                std::fwrite(out.content.data(), 1, out.content.size(), file);
            }
            std::fclose(file);
          }

          bool complete(const std::vector<Circuit>& circuits) {
            for (const Circuit& circuit : circuits)
              if (static_cast<std::int64_t>(circuit.ends.size()) < circuit.samples) return false;
            return true;
          }

          constexpr std::int64_t kMostIdleCycles = 200000;

          void simulate(Vbatch& top, std::vector<Circuit>& circuits, std::uint64_t seed) {
            top.aresetn = 0;
            for (int i = 0; i < 4; ++i) {
              top.aclk = 0;
              top.eval();
              top.aclk = 1;
              top.eval();
            }
            top.aresetn = 1;
            std::int64_t idle = 0;
            for (std::int64_t cycle = 0; !complete(circuits); ++cycle) {
              int port = 0;
              for (Circuit& circuit : circuits) offer(circuit, seed, port, cycle);
              top.aclk = 0;
              top.eval();
              bool moved = false;
              for (Circuit& circuit : circuits) moved = observe(circuit, cycle) || moved;
              top.aclk = 1;
              top.eval();
              idle = moved ? 0 : idle + 1;
              if (idle <= kMostIdleCycles) continue;
              for (const Circuit& circuit : circuits)
                if (static_cast<std::int64_t>(circuit.ends.size()) < circuit.samples)
                  fail(circuit, "stuck", cycle);
            }
          }
    )cpp";

constexpr const char* kHarnessMain = R"cpp(
  }  // namespace

  int main(int argc, char** argv) {
    if (argc != 4) return 2;
    Vbatch top;
    std::vector<Circuit> circuits = make_circuits(top);
    read_inputs(circuits, argv[1]);
    simulate(top, circuits, std::strtoull(argv[3], nullptr, 10));
    write_outputs(circuits, argv[2]);
    return 0;
  }
)cpp";

}  // namespace

std::string harness_wrapper(const std::vector<HarnessCircuit>& circuits) {
  std::string ports = "  input wire aclk,\n  input wire aresetn", body;
  for (std::size_t c = 0; c < circuits.size(); ++c) {
    const HarnessCircuit& circuit = circuits[c];
    std::string connections = ".aclk(aclk), .aresetn(aresetn)";
    const auto stream = [&](const std::string& axis, const std::string& here, const AxisPort& port,
                            bool input) {
      const char* forward = input ? ",\n  input wire " : ",\n  output wire ";
      const char* back = input ? ",\n  output wire " : ",\n  input wire ";
      ports += concat(forward, "[", 8 * port.bytes() - 1, ":0] ", here, "_tdata", forward, here,
                      "_tvalid", forward, here, "_tlast", back, here, "_tready");
      for (const char* signal : {"_tdata", "_tvalid", "_tlast", "_tready"})
        connections += concat(", .", axis, signal, "(", here, signal, ")");
    };
    for (std::size_t i = 0; i < circuit.inputs.size(); ++i)
      stream(concat("s_axis_in", i), concat("c", c, "_in", i), circuit.inputs[i], true);
    for (std::size_t i = 0; i < circuit.outputs.size(); ++i)
      stream(concat("m_axis_out", i), concat("c", c, "_out", i), circuit.outputs[i], false);
    ports += concat(",\n  output wire c", c, "_misframed");
    body += concat("  ", circuit.name, " c", c, " (", connections, ", .misframed(c", c,
                   "_misframed));\n");
  }
  return concat("module batch (\n", ports, "\n);\n", body, "endmodule\n");
}

std::string harness_program(const std::vector<HarnessCircuit>& circuits) {
  std::string text = concat(kHarnessIncludes, kHarnessHead,
                            "std::vector<Circuit> make_circuits(Vbatch& top) {\n"
                            "  std::vector<Circuit> circuits(",
                            circuits.size(), ");\n");
  for (std::size_t c = 0; c < circuits.size(); ++c) {
    const HarnessCircuit& circuit = circuits[c];
    const std::string here = concat("  circuits[", c, "].");
    text += concat(here, "name = \"", circuit.name, "\";\n", here, "misframed = &top.c", c,
                   "_misframed;\n");
    const auto add = [&](const std::string& list, const std::string& type, const std::string& port,
                         const AxisPort& axis) {
      text += concat(here, list, ".push_back(", type, "{{&top.", port, "_tdata, sizeof top.", port,
                     "_tdata}, &top.", port, "_tvalid, &top.", port, "_tlast, &top.", port,
                     "_tready, ", axis.bytes(), ", ", axis.beats, "});\n");
    };
    for (std::size_t i = 0; i < circuit.inputs.size(); ++i)
      add("inputs", "Input", concat("c", c, "_in", i), circuit.inputs[i]);
    for (std::size_t i = 0; i < circuit.outputs.size(); ++i)
      add("outputs", "Output", concat("c", c, "_out", i), circuit.outputs[i]);
  }
  return text + "  return circuits;\n}\n" + kHarnessMain;
}

}  // namespace tandem
