#pragma once

#include <nanobind/nanobind.h>
#include <string>
#include <vector>

#include "tandem/verify/network.h"

#include "python/bindings/network.h"

namespace tandem::python {

// A Module, or what load() takes.
Network network_of(nanobind::handle model);

// {"x": ("uint8", 1 / 255)} or {"x": ("int8", scale, offset)}, where scale and offset are numbers
// or arrays that broadcast to the input.
InputCodings codings_of(nanobind::handle codings);

// One text, or several.
std::vector<std::string> texts_of(nanobind::handle texts, const char* option);

// A text or path as text; "" for None.
std::string text_of(nanobind::handle value);

}  // namespace tandem::python
