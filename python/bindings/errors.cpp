#include "python/bindings/errors.h"

#include <string>

#include "tandem/base/error.h"
#include "tandem/base/interrupt.h"
#include "tandem/files/refused.h"

namespace nb = nanobind;

namespace tandem::python {
namespace {

nb::object new_exception(nb::module_& module, const char* name, nb::handle base, const char* doc) {
  const std::string full =
      concat(nb::cast<std::string>(nb::str(module.attr("__name__"))), ".", name);
  nb::object type = nb::steal(PyErr_NewExceptionWithDoc(full.c_str(), doc, base.ptr(), nullptr));
  module.attr(name) = type;
  return type;
}

nb::object message_of(const std::exception& error) {
  const std::string text = error.what();
  return nb::steal(
      PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace"));
}

void raise(nb::handle type, const std::exception& error) {
  PyErr_SetObject(type.ptr(), message_of(error).ptr());
}

void raise_refused(nb::handle type, const RefusedModel& error) {
  nb::list nodes;
  for (const RefusedNode& node : error.nodes()) {
    nb::dict entry;
    entry["node"] = node.node;
    entry["op"] = node.op;
    entry["reason"] = node.reason;
    entry["remedy"] = node.remedy;
    nodes.append(entry);
  }
  nb::object raised = type(message_of(error));
  raised.attr("nodes") = nodes;
  PyErr_SetObject(type.ptr(), raised.ptr());
}

// The types live as long as the interpreter.
PyObject* error_type = nullptr;
PyObject* refused_type = nullptr;
PyObject* internal_type = nullptr;

void translate(const std::exception_ptr& thrown, void*) {
  try {
    std::rethrow_exception(thrown);
  } catch (const RefusedModel& error) {
    raise_refused(refused_type, error);
  } catch (const Error& error) {
    raise(error_type, error);
  } catch (const InternalError& error) {
    raise(internal_type, error);
  } catch (const Interrupted& interrupted) {
    PyErr_SetString(PyExc_KeyboardInterrupt, interrupted.what());
  }
}

}  // namespace

void bind_errors(nb::module_& module) {
  const nb::object error =
      new_exception(module, "Error", PyExc_ValueError,
                    "What the caller can mend: the message says what was wrong, where, and what "
                    "to do about it.");
  const nb::object refused = new_exception(
      module, "RefusedModel", error,
      "A model with nodes that cannot be read or written. `nodes` lists each of them as a dict of "
      "\"node\", \"op\", \"reason\" and \"remedy\".");
  const nb::object internal =
      new_exception(module, "InternalError", PyExc_RuntimeError, "A bug of Tandem's own.");
  error_type = error.ptr();
  refused_type = refused.ptr();
  internal_type = internal.ptr();
  nb::register_exception_translator(translate);
}

}  // namespace tandem::python
