#pragma once

namespace tandem {

// Puts every study of this folder into studies() (report/study.h).
void register_studies();

}  // namespace tandem
