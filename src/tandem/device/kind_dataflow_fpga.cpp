#include "tandem/device/kind_dataflow_fpga.h"

namespace tandem {

const UnitKind& dataflow_fpga_kind() {
  static const UnitKind kind = {
      .name = "dataflow_fpga",
      .description = "an FPGA whose fabric holds one streaming unit per layer",
      .keys = {{.name = "family",
                .description = "the fabric, which names the synthesis flow and its cells",
                .is_text = true,
                .choices = {"xc7"}},
               {.name = "luts", .description = "look-up tables of six inputs"},
               {.name = "flip_flops", .description = "flip-flops"},
               {.name = "block_rams", .description = "block RAMs of 36 Kbit"},
               {.name = "dsps", .description = "DSP blocks"},
               {.name = "usable_share",
                .description = "share of every resource that a plan may use, between 0 and 1: what "
                               "is left is for routing and for the user's own logic"},
               {.name = "static_milliwatts", .description = "power in milliwatts while idle"},
               {.name = "lut_microwatts",
                .description = "mean power in microwatts of one used LUT with its flip-flops and "
                               "wires at the device's clock"}},
      .memories = {"bram"},
      .cost_columns = {"luts", "flip_flops"},
      .default_device = "artix7-35t"};
  return kind;
}

}  // namespace tandem
