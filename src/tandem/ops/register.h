#pragma once

namespace tandem {

// Fills operators() with every operator of this room. Programs and tests call it once at their
// start; further calls do nothing.
void register_operators();

}  // namespace tandem
