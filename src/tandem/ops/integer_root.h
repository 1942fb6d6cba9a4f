#pragma once

namespace tandem {

void register_integer_square_root();  // IntSqrt, called by register_integer_operators()

}  // namespace tandem
