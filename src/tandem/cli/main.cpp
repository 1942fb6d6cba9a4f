#include <CLI/CLI.hpp>

#include "tandem/base/version.h"

int main(int argc, char** argv) {
  CLI::App app("Algorithm-hardware co-design of neural networks.", "tandem");
  app.set_version_flag("--version", "tandem " + tandem::version_details());
  CLI11_PARSE(app, argc, argv);
  return 0;
}
