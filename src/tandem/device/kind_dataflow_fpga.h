#pragma once

#include "tandem/device/unit_kind.h"

namespace tandem {

// The fabric of an FPGA in which every layer of a network has its own streaming unit.
const UnitKind& dataflow_fpga_kind();

}  // namespace tandem
