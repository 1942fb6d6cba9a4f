#include "tandem/device/kind_host_cpu.h"

namespace tandem {

const UnitKind& host_cpu_kind() {
  static const UnitKind kind = {
      .name = "host_cpu",
      .description = "a processor with caches and vectors, as tandem measure describes it",
      .keys = {{.name = "instruction_set",
                .description = "the widest vectors that the kernels use",
                .is_text = true},
               {.name = "cores", .description = "threads that run at the same time"},
               {.name = "f32_operations_per_second",
                .description = "multiplications and additions of f32 in one second on one core, "
                               "all cores busy, operands in registers"},
               {.name = "i16_operations_per_second",
                .description = "the same of 16-bit integers with 32-bit sums"},
               {.name = "i8_operations_per_second",
                .description = "the same of 8-bit integers with 32-bit sums"}},
      .memories = {"dram"},
      .cost_columns = {"seconds_one_core", "seconds_all_cores"},
      .default_device = ""};
  return kind;
}

}  // namespace tandem
