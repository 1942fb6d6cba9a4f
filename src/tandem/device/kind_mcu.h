#pragma once

#include <string>

#include "tandem/device/unit_kind.h"

namespace tandem {

// A core that runs one instruction after the other from flash, with its data in SRAM.
const UnitKind& mcu_kind();

// Which instructions a core has beside the plain ones.
struct CoreInstructions {
  bool packed_products = false;  // of two pairs of 16-bit numbers (Armv7E-M's SMLAD)
  bool vectors = false;          // of 16 bytes (Helium)
};
// Error where `core` is no choice of the key "core".
CoreInstructions core_instructions(const std::string& core);

}  // namespace tandem
