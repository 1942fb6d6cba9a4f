#pragma once

#include "tandem/report/study.h"

namespace tandem {

// One function for each file of this folder.
Study agile_quant_study();
Study fp8_vs_int8_study();
Study minifloat_fpga_study();
Study qlora_study();
Study vit_quant_survey_study();
Study zeroquant_fp6_study();

}  // namespace tandem
