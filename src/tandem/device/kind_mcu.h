#pragma once

#include "tandem/device/unit_kind.h"

namespace tandem {

// A core that runs one instruction after the other from flash, with its data in SRAM.
const UnitKind& mcu_kind();

}  // namespace tandem
