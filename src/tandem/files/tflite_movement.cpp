// Data movement of TensorFlow Lite: codes move as they are.
#include <algorithm>

#include "tandem/files/tflite_import.h"

namespace tandem {
namespace {

using Integers = std::vector<std::int64_t>;

// The new shape is the declared one; what the operator says about it is in its result.
void reshape(TfliteNode& node) {
  node.has(1);
  node.require_same_quantization(0);
  const TfliteTensor &from = node.input(0), &to = node.output();
  if (element_count(from.shape) != element_count(to.shape)) {
    TfliteNode::refuse(concat(from.to_string(), " has not as many elements as ", to.to_string()),
                       "convert the model again");
  }
  node.set(node.reshaped(node.value(0), to.shape));
}

}  // namespace

void add_tflite_movement_handlers(TfliteHandlers& handlers) {
  handlers["RESHAPE"] = handlers["SQUEEZE"] = handlers["EXPAND_DIMS"] = reshape;
}

}  // namespace tandem
