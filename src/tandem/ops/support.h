#pragma once

#include <array>
#include <concepts>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tandem/base/error.h"
#include "tandem/graph/operator.h"

namespace tandem {

// What the operators of this room share. Internal to the room.

// Attribute specifications with a default (or, where none is given, required).
AttributeSpec integer_attribute(std::string name, std::string description);
AttributeSpec integer_attribute(std::string name, std::string description, std::int64_t value);
AttributeSpec real_attribute(std::string name, std::string description, double value);
AttributeSpec flag_attribute(std::string name, std::string description, bool value);
AttributeSpec integers_attribute(std::string name, std::string description);  // empty by default
AttributeSpec choice_attribute(std::string name, std::string description,
                               std::vector<std::string> choices);  // the first is the default

// An attribute declared by flag_attribute; throws Error unless it is 0 or 1.
bool flag(const NodeView& node, std::string_view attribute);

// The one float format of all inputs that are present; throws Error where an input is coded or
// an index, or where the formats differ.
Format require_reals(const NodeView& node);
Format require_real(const NodeView& node, std::size_t input);

// Throws Error unless all inputs have the format of the first.
void require_same_formats(const NodeView& node);

// The bits that a node reads and writes, with the given operations. All dimensions must be bound.
Work work_of(const NodeView& node, std::vector<OperationCount> operations);
// `count` operations on the node's real format (that of input 0).
OperationCount operations(const NodeView& node, OperationKind kind, std::int64_t count);
std::int64_t input_elements(const NodeView& node, std::size_t index);
std::int64_t output_elements(const NodeView& node, std::size_t index = 0);

// The text of a sample module: `prologue` holds symbols and constants, `body` the lines of the
// graph, which computes %y unless `outputs` says otherwise.
std::string sample_text(std::string_view prologue, std::string_view inputs, std::string_view body,
                        std::string_view outputs = "%y");

// Runs `compute.operator()<T>(inputs)` with T = double for f64 and float for every other real
// format: narrow formats are computed in float and rounded once, at the end.
template <typename Compute>
std::vector<Tensor> compute_reals(Format format, std::span<const Tensor> inputs,
                                  const Compute& compute) {
  if (format.storage() == Storage::kF64) return compute.template operator()<double>(inputs);
  if (format.storage() == Storage::kF32) return compute.template operator()<float>(inputs);
  std::vector<Tensor> wide;
  for (const Tensor& input : inputs)
    wide.push_back(input.format() == format ? input.converted(Format()) : input);
  std::vector<Tensor> outputs = compute.template operator()<float>(std::span<const Tensor>(wide));
  for (Tensor& output : outputs)
    if (output.format() == Format()) output = output.converted(format);
  return outputs;
}

// The format in which compute_reals() computes: f64 or f32.
template <std::floating_point T>
Format computing_format() {
  static const Format format = Format::parse(sizeof(T) == sizeof(double) ? "f64" : "f32");
  return format;
}

Format index_format();    // int64, of indices and shapes
Format boolean_format();  // bool

}  // namespace tandem
