# Gives tandem_base the commit it was built from, looked up at build time and rewritten only when it
# changes, so that an unchanged tree rebuilds nothing.
set(info_dir "${PROJECT_BINARY_DIR}/generated")
set(info_header "${info_dir}/tandem_build_info.h")
add_custom_target(tandem_build_info
  COMMAND ${CMAKE_COMMAND}
    -D "SOURCE_DIR=${PROJECT_SOURCE_DIR}" -D "OUTPUT=${info_header}"
    -D "VERSION=${PROJECT_VERSION}" -D "BUILD_TYPE=${CMAKE_BUILD_TYPE}"
    -D "SANITIZE=${TANDEM_SANITIZE}"
    -P "${PROJECT_SOURCE_DIR}/cmake/write_build_info.cmake"
  BYPRODUCTS "${info_header}"
  VERBATIM)
add_dependencies(tandem_base tandem_build_info)
add_dependencies(tandem_generated tandem_build_info)
target_include_directories(tandem_base PRIVATE "${info_dir}")
