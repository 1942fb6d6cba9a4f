# Compiles our schema of TensorFlow Lite's file format into the room `files`, where it is included as
# "tflite/tflite_schema_generated.h".
find_program(FLATC flatc REQUIRED)
find_path(FLATBUFFERS_INCLUDE_DIR flatbuffers/flatbuffers.h REQUIRED)

set(tflite_schema "${PROJECT_SOURCE_DIR}/src/tandem/files/tflite_schema.fbs")
set(tflite_out "${PROJECT_BINARY_DIR}/generated/flatbuffers")
set(tflite_header "${tflite_out}/tflite/tflite_schema_generated.h")
add_custom_command(
  OUTPUT "${tflite_header}"
  COMMAND "${FLATC}" --cpp --cpp-std c++17 --scoped-enums --gen-object-api -o "${tflite_out}/tflite"
          "${tflite_schema}"
  DEPENDS "${tflite_schema}"
  VERBATIM)
add_custom_target(tandem_tflite_schema DEPENDS "${tflite_header}")
# Generated code is a system header: compiled without the project's warnings.
target_include_directories(tandem_files SYSTEM PRIVATE
  "${tflite_out}" "${FLATBUFFERS_INCLUDE_DIR}")
add_dependencies(tandem_files tandem_tflite_schema)
add_dependencies(tandem_generated tandem_tflite_schema)
