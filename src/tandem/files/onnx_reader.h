#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tandem/base/error.h"
#include "tandem/files/bytes.h"
#include "tandem/graph/module.h"

namespace tandem {

// One node that a reader or writer cannot take: which, why, and how to mend it.
struct RefusedNode {
  std::string node, op;
  std::string reason, remedy;
};

// All nodes of a model that cannot be read (or written), at once; the message has a line for each.
class RefusedModel : public Error {
 public:
  // `done` is what cannot be done with them: "read".
  RefusedModel(std::string_view source, std::string_view done, std::vector<RefusedNode> refused,
               std::optional<Module> rest = {});
  const std::vector<RefusedNode>& nodes() const { return nodes_; }
  // The model with stand-ins where refused nodes stood, for judging its other nodes; absent where
  // none is left.
  const std::optional<Module>& rest() const { return rest_; }

 private:
  std::vector<RefusedNode> nodes_;
  std::optional<Module> rest_;
};

// Reads an ONNX model (operator sets 7 and later, every IR version, external data beside the file)
// as a module with the function "main". QuantizeLinear and DequantizeLinear, and the nodes Quant,
// BipolarQuant and Trunc of QONNX, become Quantize and Dequantize. Arithmetic on constants and on
// shapes is folded; Identity, Dropout and casts without effect vanish. Symbolic or absent
// dimensions become symbols with bounds [1, 65536]. Values keep ONNX's tensor names.
//
// Throws RefusedModel naming every node that cannot be read, and Error on a file that is no sound
// model: truncated, cyclic, with duplicate or missing values, NaN weights or 0-sized dimensions.
Module read_onnx(const std::filesystem::path& path);

// The same from memory. `folder` is where external data lie; without it they are refused.
Module read_onnx(ByteSpan bytes, std::string_view source, const std::filesystem::path& folder = {});

}  // namespace tandem
