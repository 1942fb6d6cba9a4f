#include "tandem/emit/verilog_bench.h"

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/data/dataset.h"
#include "tandem/graph/evaluate.h"

namespace tandem {
namespace {

constexpr std::int64_t kFrames = 6;

constexpr const char* kIncludes =
    "#include <cstdint>\n#include <cstdio>\n#include <cstdlib>\n#include <cstring>\n\n";

constexpr const char* kBenchHead = R"cpp(
  namespace {

  struct Input {
    const unsigned char* bytes;
    long beat_bytes, frame_beats, beats;
    void* data;
    unsigned char *valid, *ready, *last;
    long at;
    bool offered;
  };

  struct Output {
    const unsigned char* bytes;
    long beat_bytes, frame_beats, beats;
    const void* data;
    unsigned char *valid, *ready, *last;
    long at;
  };

  // A port is not ready in a cycle with the seed 0 never, else at random.
  bool pauses(std::uint32_t& state) {
    if (state == 0) return false;
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return (state & 4) != 0;
  }
)cpp";

constexpr const char* kBenchTail = R"cpp(
  }  // namespace

  // Without argument at full rate; with a seed, inputs and outputs stall at random.
  int main(int argc, char** argv) {
    std::uint32_t state =
        argc > 1 ? static_cast<std::uint32_t>(std::strtoul(argv[1], nullptr, 10)) : 0;
    MODEL top;
    top.aclk = 0;
    top.aresetn = 0;
    bind(top);
    for (int i = 0; i < 4; ++i) {
      top.aclk = !top.aclk;
      top.eval();
    }
    top.aclk = 0;
    top.aresetn = 1;
    long wrong = 0, waiting = 0, cycle = 0;
    for (bool done = false; !done; ++cycle) {
      for (Input& in : inputs) {
        in.offered = in.at < in.beats && (in.offered || !pauses(state));
        *in.valid = in.offered;
        if (!in.offered) continue;
        std::memcpy(in.data, in.bytes + in.at * in.beat_bytes,
                    static_cast<std::size_t>(in.beat_bytes));
        *in.last = in.at % in.frame_beats == in.frame_beats - 1;
      }
      for (Output& out : outputs) *out.ready = !pauses(state);
      top.eval();
      bool moved = false;
      for (Input& in : inputs) {
        if (!in.offered || !*in.ready) continue;
        ++in.at;
        in.offered = false;
        moved = true;
      }
      done = true;
      for (Output& out : outputs) {
        if (*out.valid && *out.ready && out.at < out.beats) {
          const bool last = out.at % out.frame_beats == out.frame_beats - 1;
          if (std::memcmp(out.data, out.bytes + out.at * out.beat_bytes,
                          static_cast<std::size_t>(out.beat_bytes)) != 0 ||
              (*out.last != 0) != last) {
            if (wrong++ < 5)
              std::printf("output %d: beat %ld differs\n", static_cast<int>(&out - outputs), out.at);
          }
          ++out.at;
          moved = true;
        }
        done = done && out.at == out.beats;
      }
      top.aclk = 1;
      top.eval();
      top.aclk = 0;
      top.eval();
      waiting = moved ? 0 : waiting + 1;
      if (waiting > 100000000) {
        std::printf("FAILED: nothing moves any more\n");
        return 1;
      }
    }
    if (top.misframed) std::printf("FAILED: misframed\n");
    if (wrong > 0) std::printf("FAILED: %ld beats differ\n", wrong);
    if (wrong > 0 || top.misframed) return 1;
    std::printf("PASSED: FRAMES frames in %ld cycles\n", cycle);
    return 0;
  }
)cpp";

std::string replaced(std::string text, std::string_view from, const std::string& to) {
  for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
  return text;
}

std::string array_of(const std::string& name, const std::string& bytes) {
  std::string text = concat("static const unsigned char ", name, "[] = {");
  for (std::size_t i = 0; i < bytes.size(); ++i)
    text += concat(i % 24 == 0 ? "\n  " : " ",
                   static_cast<int>(static_cast<unsigned char>(bytes[i])), ",");
  return text + "\n};\n";
}

// The table of ports, and what connects it to the model.
class BenchWriter {
 public:
  explicit BenchWriter(const std::string& name) : name_(name) {}

  void add(const AxisPort& port, std::size_t index, bool is_input, const Tensor& frames) {
    std::string bytes;
    for (std::int64_t frame = 0; frame < kFrames; ++frame) append_beats(bytes, port, frames, frame);
    const std::string array = concat(name_, is_input ? "_in" : "_out", index);
    vectors_ += array_of(array, bytes);
    std::string& table = is_input ? inputs_ : outputs_;
    table += concat("  {", array, ", ", port.bytes(), ", ", port.beats, ", ", port.beats * kFrames,
                    ", nullptr, nullptr, nullptr, nullptr, 0", is_input ? ", false" : "", "},\n");
    const std::string axis = concat("top.", is_input ? "s_axis_in" : "m_axis_out", index);
    const std::string row = concat(is_input ? "inputs[" : "outputs[", index, "]");
    bind_ +=
        concat("  ", row, ".data = &", axis, "_tdata;\n  ", row, ".valid = &", axis, "_tvalid;\n  ",
               row, ".ready = &", axis, "_tready;\n  ", row, ".last = &", axis, "_tlast;\n");
  }

  Artifacts files() const {
    const std::string model = "V" + name_;
    const std::string program =
        concat("// Runs ", name_, ".sv on the vectors beside it: make\n", kIncludes, "#include \"",
               model, ".h\"\n#include \"", name_, "_vectors.h\"\n#include \"verilated.h\"\n",
               kBenchHead, "Input inputs[] = {\n", inputs_, "};\nOutput outputs[] = {\n", outputs_,
               "};\n\nvoid bind(", model, "& top) {\n", bind_, "}\n",
               replaced(replaced(kBenchTail, "MODEL", model), "FRAMES", concat(kFrames)));
    return {
        {name_ + "_vectors.h", concat("// Beats as on tdata, in bytes, of ", kFrames,
                                      " frames.\n#pragma once\n\n", vectors_)},
        {name_ + "_test.cpp", program},
        {"Makefile",
         concat("# make: simulates the circuit with Verilator and checks it; STALLS=7 stalls its "
                "ports.\n"
                "VERILATOR ?= verilator\nSTALLS ?= 0\n\ntest: build/simulation\n\t$< $(STALLS)\n\n"
                "# The last flag keeps Verilator 5.006 from a wrong rewrite of single bits.\n"
                "build/simulation: ",
                name_, ".sv ", name_, "_test.cpp ", name_,
                "_vectors.h\n\t$(VERILATOR) --cc --exe --build -O3 -fno-const-bit-op-tree "
                "-Wno-fatal \\\n"
                "\t  -CFLAGS -I$(CURDIR) --Mdir build --top-module ",
                name_, " -o simulation ", name_, ".sv ", name_,
                "_test.cpp\n\nclean:\n\trm -rf build\n\n.PHONY: test clean\n")}};
  }

 private:
  std::string name_, vectors_, inputs_, outputs_, bind_;
};

}  // namespace

void append_beats(std::string& bytes, const AxisPort& port, const Tensor& samples,
                  std::int64_t sample) {
  const int width = port.format.bits();
  std::int64_t element = sample * port.beats * port.lanes;
  for (std::int64_t beat = 0; beat < port.beats; ++beat) {
    const std::size_t start = bytes.size();
    bytes.resize(start + static_cast<std::size_t>(port.bytes()), '\0');
    for (std::int64_t lane = 0; lane < port.lanes; ++lane, ++element) {
      const std::uint64_t code = port.format.code_of(samples.integer(element));
      for (int bit = 0; bit < width; ++bit) {
        const auto at = static_cast<std::size_t>(lane * width + bit);
        if (((code >> bit) & 1) != 0)
          bytes[start + at / 8] = static_cast<char>(bytes[start + at / 8] | (1 << at % 8));
      }
    }
  }
}

Artifacts verilog_bench(const Module& module, const Pipeline& pipeline, const std::string& name) {
  const Graph& graph = module.main();
  BenchWriter writer(name);
  std::vector<Tensor> frames;
  const auto inputs = axis_inputs(pipeline), outputs = axis_outputs(pipeline);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const TensorType& type = graph.values[graph.inputs[i]].type;
    TensorType batched = type;
    batched.shape.insert(batched.shape.begin(), Dim(1));
    DataOptions options;
    options.source = concat("random:", kFrames);
    options.seed = i + 1;
    frames.push_back(open_data(options, batched).samples.all());
    writer.add(inputs[i], i, true, frames.back());
  }
  std::vector<std::vector<std::int64_t>> results(outputs.size());
  for (std::int64_t frame = 0; frame < kFrames; ++frame) {
    std::vector<Tensor> arguments;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const Shape shape = graph.values[graph.inputs[i]].type.static_shape();
      arguments.push_back(frames[i].rows(frame, frame + 1).reshaped(shape));
    }
    const auto computed = evaluate(module, graph, arguments);
    for (std::size_t o = 0; o < outputs.size(); ++o)
      for (const std::int64_t integer : computed[o].to_integers()) results[o].push_back(integer);
  }
  for (std::size_t o = 0; o < outputs.size(); ++o) {
    const auto count = static_cast<std::int64_t>(results[o].size());
    writer.add(outputs[o], o, false, Tensor::from_integers(outputs[o].format, {count}, results[o]));
  }
  return writer.files();
}

}  // namespace tandem
