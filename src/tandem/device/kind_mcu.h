#pragma once

#include <string>

#include "tandem/device/unit_kind.h"

namespace tandem {

// A core that runs one instruction after the other from flash, with its data in SRAM.
const UnitKind& mcu_kind();

// What a core has beside the plain instructions and a dozen registers.
struct CoreInstructions {
  bool packed_products = false;  // of two pairs of 16-bit numbers (Armv7E-M's SMLAD)
  bool vectors = false;          // of 16 bytes (Helium)
  bool many_registers = false;   // for some twenty numbers at a time
};
// Error where `core` is no choice of the key "core".
CoreInstructions core_instructions(const std::string& core);

}  // namespace tandem
