#pragma once

#include "tandem/device/unit_kind.h"

namespace tandem {

// A processor like the one that runs this program, as `tandem measure` describes it.
const UnitKind& host_cpu_kind();

}  // namespace tandem
