# Run at build time by cmake/TandemBuildInfo.cmake.
execute_process(
  COMMAND git describe --always --dirty --abbrev=12 --exclude=*
  WORKING_DIRECTORY "${SOURCE_DIR}"
  OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET
  RESULT_VARIABLE status)
if(NOT status EQUAL 0 OR commit STREQUAL "")
  set(commit "no git")
endif()
string(TOLOWER "${BUILD_TYPE}" build_type)
if(SANITIZE)
  string(APPEND build_type " with ${SANITIZE} sanitizer")
endif()
file(CONFIGURE OUTPUT "${OUTPUT}" @ONLY CONTENT [[
#pragma once
#define TANDEM_VERSION "@VERSION@"
#define TANDEM_COMMIT "@commit@"
#define TANDEM_BUILD_TYPE "@build_type@"
]])
