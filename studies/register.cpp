#include "studies/register.h"

#include "studies/methods.h"

namespace tandem {

void register_studies() {
  studies().push_back(agile_quant_study());
  studies().push_back(fp8_vs_int8_study());
  studies().push_back(minifloat_fpga_study());
  studies().push_back(qlora_study());
  studies().push_back(vit_quant_survey_study());
  studies().push_back(zeroquant_fp6_study());
}

}  // namespace tandem
