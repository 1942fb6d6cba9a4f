#include "tandem/device/unit_kind.h"

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/device/kind_dataflow_fpga.h"
#include "tandem/device/kind_host_cpu.h"
#include "tandem/device/kind_mcu.h"

namespace tandem {

const std::vector<UnitKind>& unit_kinds() {
  static const std::vector<UnitKind> kinds = {mcu_kind(), dataflow_fpga_kind(), host_cpu_kind()};
  return kinds;
}

const UnitKind& find_unit_kind(std::string_view name) {
  std::vector<std::string> names;
  for (const UnitKind& kind : unit_kinds()) {
    if (kind.name == name) return kind;
    names.push_back(kind.name);
  }
  throw Error("no kind of unit is called '", name, "'", suggestion(name, names));
}

}  // namespace tandem
