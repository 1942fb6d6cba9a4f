#pragma once

#include <filesystem>
#include <nanobind/nanobind.h>
#include <string>

#include "tandem/files/bytes.h"

#include "python/bindings/network.h"

namespace tandem::python {

// Where a network comes from: a file, or bytes in memory.
struct NetworkSource {
  std::filesystem::path path;
  nanobind::object bytes;  // keeps `view` alive; none where there is a path
  ByteSpan view;

  std::string name() const { return path.string(); }
  Module read() const;  // without the GIL
};

// A path, bytes, or an onnx.ModelProto.
NetworkSource source_of(nanobind::handle source);

Network load(nanobind::handle source);

// load() and the class Module.
void bind_module(nanobind::module_& module);

}  // namespace tandem::python
