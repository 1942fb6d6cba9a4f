#include <iostream>

#include "tandem/base/interrupt.h"
#include "tandem/cli/command_line.h"

#include "studies/register.h"

int main(int argc, char** argv) {
  std::ios::sync_with_stdio(false);
  tandem::install_interrupt_handler();
  tandem::register_studies();
  return tandem::run_command_line({argv + 1, argv + argc}, std::cout, std::cerr);
}
