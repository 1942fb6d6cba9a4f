#pragma once

#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tandem/files/refused.h"
#include "tandem/files/tflite_file.h"
#include "tandem/files/tflite_import.h"
#include "tandem/files/tflite_writer.h"
#include "tandem/graph/operator.h"
#include "tandem/ops/coded.h"

namespace tandem {

// Internal to the room: how "main" becomes the subgraph of a TensorFlow Lite file.

class TfliteExporter;

// Codes of a value as the file holds them: real = scale * (code - zero), code = integer of the
// module + shift (which is not 0 for unsigned formats).
struct TfliteCoding {
  Format format;
  float scale = 1;
  std::int64_t zero = 0, shift = 0;

  TfliteQuantization quantization() const { return {{scale}, {zero}, 0}; }
  friend bool operator==(const TfliteCoding&, const TfliteCoding&) = default;
};

// The tensor that holds a value: in the order of the value's axes, or [N,H,W,C] for [N,C,H,W].
struct Placed {
  int tensor = -1;
  bool is_channels_last = false;
};

struct PlacedCodes {
  Placed placed;
  TfliteCoding coding;
};

// How a Quantize makes codes.
struct CodeTarget {
  TfliteCoding coding;
  IntegerRange kept;  // of the codes of the file
  Rescaling rescaling = Rescaling::kDyadic;
  int left_shift = 0;
  Rounding rounding = Rounding::kHalfAwayFromZero;
  bool is_zero_added_after = true;
};

// Where the result of an operator goes: reals, or codes.
struct Sink {
  std::string name;
  ValueId value = kNone;              // what is written
  const CodeTarget* codes = nullptr;  // nullptr: reals
  tflite::Activation activation = tflite::Activation::NONE;

  bool is_coded() const { return codes != nullptr; }
};

// Writes one node's result to a sink.
using TfliteWriter = Placed (*)(TfliteExporter&, const Node&, const Sink&);

// An operator of modules: its writer, and what it does with codes.
struct TfliteWriterEntry {
  TfliteWriter write = nullptr;
  bool takes_codes = false;  // has kernels of codes that rescale
  bool fuses = false;        // has a fused activation function
  bool moves = false;        // the codes of its real operands are those of its result
};
using TfliteWriters = std::map<std::string, TfliteWriterEntry, std::less<>>;

// nullptr where there is none.
const TfliteWriterEntry* tflite_writer_of(const Node& node);
// Relu and Clip, which are limits of the codes behind them.
bool is_limit(const Node& node);

inline constexpr std::string_view kTfliteWriteRemedy = "write the module's own text instead";
inline constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct RealRange {
  double low = -kInfinity, high = kInfinity;
};

// The parts of the table of writers, one per file.
void add_tflite_layer_writers(TfliteWriters& writers);
void add_tflite_elementwise_writers(TfliteWriters& writers);
void add_tflite_movement_writers(TfliteWriters& writers);

class TfliteExporter {
 public:
  TfliteExporter(Module module, std::string_view source, TfliteRounding rounding);
  // Says that the first extent of inputs and outputs may be any number.
  void leave_batch_open() { has_open_batch_ = true; }
  std::string run();

  TfliteFile& file() { return file_; }
  const Module& module() const { return module_; }
  const Graph& graph() const { return graph_; }
  NodeView view_of(const Node& node) const { return {module_, graph_, node}; }
  const Node* producer(ValueId value) const;  // nullptr for inputs and constants
  const TensorType& type(ValueId value) const { return graph_.values[value].type; }
  Shape shape(ValueId value) const { return type(value).static_shape(); }
  const std::string& name(ValueId value) const { return graph_.values[value].name; }
  bool has_open_batch() const { return has_open_batch_; }
  bool is_adopting() const { return rounding_ == TfliteRounding::kAdopted; }

  // Reals (or indices), and codes, of a value.
  Placed real(ValueId value);
  PlacedCodes codes(ValueId value);
  // The codes that a real value decodes, where it decodes some.
  std::optional<PlacedCodes> decoded(ValueId value);
  // The operand of an operator that writes to a sink: codes with any scale, or reals.
  PlacedCodes operand(ValueId value, const Sink& sink);
  // The operand of one that moves elements: in the coding of the sink.
  Placed moved_operand(ValueId value, const Sink& sink);
  // A constant in codes: its own, or those of a coding.
  Tensor coded_constant(const Tensor& reals, const TfliteCoding& coding, Rounding rounding) const;
  // The elements of a value that does not depend on the inputs.
  std::optional<Tensor> known(ValueId value);

  // The tensor with the wanted order of axes; transposes where it has the other one.
  int in_order(Placed placed, bool channels_last);
  int plain(Placed placed) { return in_order(placed, false); }
  void reshape(int from, int to);
  // A new tensor for the result of a sink.
  int result(const Sink& sink, const Shape& shape);
  // Codes in another coding.
  int requantized(const PlacedCodes& from, const CodeTarget& target, const std::string& name);
  int index_constant(const std::vector<std::int64_t>& values, const std::string& name);

  // Refuses codes whose Quantize asks for another rounding than the kernel's.
  void require_rescaling(const Sink& sink, Rescaling rescaling, int left_shift = 0) const;
  // The same for kernels that round to the nearest code, before or after they add the zero point.
  void require_nearest(const Sink& sink, bool zero_added_after) const;
  // The rescaling of kernels that sum products of these codes.
  static Rescaling rescaling_of(const TfliteCoding& coding);

  [[noreturn]] static void refuse(std::string_view reason, std::string remedy) {
    throw Refusal(reason, std::move(remedy));
  }

 private:
  void open_inputs();
  void find_codings();
  std::vector<int> write_outputs();
  TfliteCoding coding_of(const Node& border, ValueId codes) const;
  CodeTarget target_of(const Node& quantize) const;
  Placed coded(ValueId value, const CodeTarget& target, const std::string& name);
  Placed coded_within_limits(ValueId value, const CodeTarget& target, const std::string& name);
  bool reads_codes(const Node& node);
  std::optional<PlacedCodes> decoded_by(const Node& dequantize);
  std::optional<TfliteCoding> moved_coding(const Node& node);
  Placed limited(Placed placed, const CodeTarget& target, const std::string& name);
  Placed activated_codes(ValueId value, CodeTarget target, const std::string& name);
  RealRange range_of(const Node& limit);
  Placed make_real(ValueId value);
  void refuse_decoding(const Node& dequantize);
  PlacedCodes make_codes(ValueId value);
  Placed activated(const Node& node);
  Placed guarded(const Node& node, const Sink& sink);  // notes a refusal and goes on
  void judge_operands(const Node& node);
  Placed placeholder(const Sink& sink);
  void open_batches(const std::vector<int>& tensors);

  Module module_;
  const Graph& graph_;
  std::string source_;
  TfliteRounding rounding_;
  TfliteFile file_;
  std::vector<std::vector<NodeId>> readers_;
  std::map<ValueId, TfliteCoding> codings_;
  std::map<ValueId, Placed> reals_;
  std::map<ValueId, PlacedCodes> codes_;
  std::map<ValueId, std::optional<PlacedCodes>> decoded_;
  std::map<ValueId, std::optional<Tensor>> known_;
  std::map<std::pair<int, bool>, int> transposed_;
  std::vector<RefusedNode> refused_;
  bool has_open_batch_ = false;
};

// The kernels of sums bring their operands into one unit; the module says so by a Quantize with a
// left shift and its Dequantize.
struct CommonUnitOperand {
  ValueId operand = kNone;
  double unit = 0;
  int left_shift = 0;
};
// An operand without its common unit: itself where it has none.
CommonUnitOperand without_unit(const TfliteExporter& exporter, ValueId value);
// What the reader makes of a transposed convolution's input: [N,H,W,C] with zeros between its
// elements, turned to [N,C,H,W].
struct SpreadInput {
  ValueId source = kNone;
  std::vector<std::int64_t> strides;
  bool is_coded = false;
};
std::optional<SpreadInput> spread_input(const TfliteExporter& exporter, ValueId value);
// x times the constant matrix of a MatMul, plus a bias (kNone: none), as one operator.
Placed write_product(TfliteExporter& exporter, const Node& matmul, ValueId bias, const Sink& sink);
// Reals that the kernels of layers with coded weights code for each sample.
struct DynamicCoding {
  ValueId source = kNone;
  bool is_asymmetric = false;
};
// What a value decodes, where such a kernel codes it; nullopt elsewhere.
std::optional<DynamicCoding> dynamic_coding(TfliteExporter& exporter, ValueId value);
// The function that limits reals, or codes, to a range; nullopt where there is none.
std::optional<tflite::Activation> activation_of(double low, double high);
std::optional<tflite::Activation> activation_of(const TfliteCoding& coding, IntegerRange kept);

// Codes that integer primitives compute from other codes as a kernel does: writes the operator, or
// returns nullopt where none is that function.
std::optional<Placed> write_function_of_codes(TfliteExporter& exporter, ValueId codes,
                                              const TfliteCoding& coding, const std::string& name,
                                              const std::map<ValueId, TfliteCoding>& known);

}  // namespace tandem
