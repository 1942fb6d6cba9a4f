#pragma once

#include <onnx/onnx-ml.pb.h>

namespace tandem {

// Internal to the room: puts the nodes of a model's own functions in the place of the nodes that
// call them, in all graphs, and drops the functions. Values of a body are named after its caller.
// Throws Error naming a function that calls itself, that stands there twice, whose caller has other
// inputs, outputs or attributes than it declares, that imports another version of an operator set
// than the model, or whose nodes become too many.
void inline_functions(onnx::ModelProto& model);

}  // namespace tandem
