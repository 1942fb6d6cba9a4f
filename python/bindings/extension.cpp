#include <nanobind/nanobind.h>

#include "tandem/base/version.h"
#include "tandem/ops/register.h"

#include "python/bindings/errors.h"
#include "python/bindings/formats.h"
#include "python/bindings/module.h"
#include "python/bindings/program.h"
#include "python/bindings/verbs.h"

NB_MODULE(_tandem, module) {
  tandem::register_operators();
  module.doc() = "Algorithm-hardware co-design of neural networks.";
  module.attr("__version__") = tandem::version();
  tandem::python::bind_errors(module);
  tandem::python::bind_formats(module);
  tandem::python::bind_module(module);
  tandem::python::bind_program(module);
  tandem::python::bind_verbs(module);
}
