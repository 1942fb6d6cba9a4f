#pragma once

#include "tandem/graph/module.h"

namespace tandem {

// The module with every symbol bound to the least that it may be.
Module with_least_sizes(const Module& module);

}  // namespace tandem
