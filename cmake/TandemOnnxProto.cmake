# Compiles the ONNX schema, which the PyPI package `onnx` carries, into the room `files`, where it is
# included as "onnx/onnx-ml.pb.h".
set(default_venv "${PROJECT_SOURCE_DIR}/.venv")
if(DEFINED ENV{TANDEM_VENV})
  set(default_venv "$ENV{TANDEM_VENV}")
endif()
set(TANDEM_VENV "${default_venv}" CACHE PATH
  "Python environment with the PyPI packages; tools/setup.sh makes it")
if(SKBUILD)  # pip builds in an environment of its own
  find_package(Python REQUIRED COMPONENTS Interpreter)
  execute_process(COMMAND "${Python_EXECUTABLE}" -c
    "import importlib.util as u, os; print(os.path.dirname(u.find_spec('onnx').origin))"
    OUTPUT_VARIABLE onnx_package OUTPUT_STRIP_TRAILING_WHITESPACE)
  set(onnx_protos "${onnx_package}/onnx-ml.proto")
else()
  file(GLOB onnx_protos "${TANDEM_VENV}/lib/python3*/site-packages/onnx/onnx-ml.proto")
endif()
if(NOT onnx_protos)
  message(FATAL_ERROR
    "No onnx/onnx-ml.proto under ${TANDEM_VENV}: run tools/setup.sh, or set TANDEM_VENV to a "
    "Python environment in which the package onnx is installed.")
endif()
list(GET onnx_protos 0 onnx_proto)
set(TANDEM_ONNX_PROTO "${onnx_proto}" CACHE INTERNAL "Schema of ONNX")
get_filename_component(onnx_import "${onnx_proto}" DIRECTORY)
get_filename_component(onnx_import "${onnx_import}" DIRECTORY)

set(onnx_out "${PROJECT_BINARY_DIR}/generated/proto")
file(MAKE_DIRECTORY "${onnx_out}/onnx")
add_custom_command(
  OUTPUT "${onnx_out}/onnx/onnx-ml.pb.cc" "${onnx_out}/onnx/onnx-ml.pb.h"
  COMMAND protobuf::protoc "--proto_path=${onnx_import}" "--cpp_out=${onnx_out}" onnx/onnx-ml.proto
  DEPENDS "${onnx_proto}"
  VERBATIM)

# An object library of its own, so that generated code is compiled without the project's warnings.
add_library(tandem_onnx_proto OBJECT
  "${onnx_out}/onnx/onnx-ml.pb.cc" "${onnx_out}/onnx/onnx-ml.pb.h")
target_include_directories(tandem_onnx_proto SYSTEM PUBLIC "${onnx_out}")
target_link_libraries(tandem_onnx_proto PUBLIC protobuf::libprotobuf)
target_sources(tandem_files PRIVATE $<TARGET_OBJECTS:tandem_onnx_proto>)
target_include_directories(tandem_files SYSTEM PRIVATE "${onnx_out}")
add_dependencies(tandem_files tandem_onnx_proto)
add_dependencies(tandem_generated tandem_onnx_proto)
