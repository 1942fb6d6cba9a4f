#pragma once

#include <optional>

#include "tandem/graph/builder.h"

namespace tandem {

// Internal to the room: a node that a reader refuses leaves values behind that nobody computes. So
// that what follows can be judged in the same breath, each gets a stand-in of its type that depends
// on the network's input: the mean of every sample of `input`, repeated along the other dimensions
// of `type`; nullopt where the type is no batch of that kind.
std::optional<ValueId> spread_mean(Builder& builder, ValueId input, const TensorType& type);

// What could be read of "main", with the values that nothing reads as outputs; nullopt where there
// are none. The module is moved away.
std::optional<Module> rest_of(Module& module);

}  // namespace tandem
